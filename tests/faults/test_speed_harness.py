"""The benchmarks' harness with us, in sizes so small that the figures mean nothing: every workload does its work."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from benchmarks import limit, stages
from benchmarks.peers.rig import OURS, NotReady
from benchmarks.speed import cell, million
from benchmarks.speed.cell import Effort
from benchmarks.speed.figures import FIGURES
from benchmarks.speed.proc import members
from benchmarks.speed.systems import Contestant, start_server
from benchmarks.stages import Stopwatch
from benchmarks.stepwise import Stepwise
from benchmarks.tasks import noop
from orchestrator.testing.throwaway import throwaway_fleet
from tests.support.servers import ServerProcess

pytestmark = [pytest.mark.needs_server, pytest.mark.slow]
TINY = Effort(seconds=0.02, warm_up_seconds=0.0, round_trips=5, skewed_calls=20, idle_seconds=0.2)


@pytest.fixture(scope="module")
def speed_server() -> Iterator[ServerProcess]:
    server = start_server()
    yield server
    server.close()


def test_a_round_of_ours_has_every_figure_and_leaves_no_process_behind(speed_server: ServerProcess) -> None:
    with Contestant(OURS, speed_server) as ours:
        found = cell.measure(ours, TINY)
        leaders = [ours.client.pid, *ours.leaders()]
    wanted = (
        "start_up fan_out round_trip_p50 round_trip_p99 payload_1k payload_100k send send_threads send_asyncio drain "
        "drain_map"
    )
    assert found.keys() == {*wanted.split(), "bare_send"}
    assert all(value > 0 for value in found.values())
    assert [pid for leader in leaders for pid in members(leader)] == []


def test_workers_that_stand_still_take_nothing_and_go_on_afterwards(speed_server: ServerProcess) -> None:
    with Contestant(OURS, speed_server) as ours:
        ours.start_workers(2)
        cell.wait_for_processes(ours, 2)
        with ours.held(), speed_server.client(db=ours.database) as client:
            ours.ask("queue", "noop", [[number] for number in range(50)], list(range(50)))
            (stream,) = client.keys("*q:default:ds*")
            more = client.hget(stream.partition(b"}:")[0] + b"}:more", "default:ds")  # an entry may be a range of calls
            assert client.xlen(stream) + int(more or 0) == 50
        ours.ask("drained")


def test_sleepers_and_idle_workers(speed_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "SPREAD", (1, 2))
    monkeypatch.setattr(cell, "LONG_SECONDS", 0.1)
    with Contestant(OURS, speed_server) as ours:
        found = cell.measure_spread(ours, TINY)
        assert found.keys() == {"sleepers_1", "sleepers_2", "skew"}
        assert 0 < found["sleepers_1"] <= 100  # of 10 ms each, one at a time
        assert 0 < found["sleepers_2"] <= 200
        assert found["skew"] >= 1.0
        idle = cell.measure_idle([ours], TINY)[OURS]
        assert 10 < idle["child_mb"] < 500
        assert 1 < idle["child_pss_mb"] <= idle["child_mb"]
        assert idle["idle_cpu"] >= 0


def test_a_large_map_is_compared_with_small_ones(speed_server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(million, "SMALL", 500)
    monkeypatch.setattr(million, "SMALL_MAPS", 1)
    found = million.measure(speed_server, 2_000)
    assert found.keys() - FIGURES.keys() == {"million_calls"}
    assert 0 <= found["million_queued_bytes"] < 10_000
    assert 0 < found["million_server_bytes"] < 10_000
    assert found["million_seconds"] == pytest.approx(found["million_calls"] / found["million_rate"])
    assert found["million_client_mb"] > 10


def test_a_question_that_fails_is_told_with_its_reason(speed_server: ServerProcess) -> None:
    with Contestant(OURS, speed_server) as ours, pytest.raises(NotReady, match=r"queue: .*no_such_task"):
        ours.ask("queue", "no_such_task", [[1]])


def test_the_bare_limit_drains_and_fans_out_and_leaves_nothing(speed_server: ServerProcess) -> None:
    url = f"{speed_server.tcp_url}/0"
    assert limit.fan_out(url, 300) > 0
    assert limit.drain(url, 300) > 0
    with speed_server.client(db=0) as client:
        assert client.keys("limit:*") == []


def test_every_stage_of_a_call_is_timed() -> None:
    alone, together = stages.measure(50, 1)
    names = {stage for _, stage, _ in stages.STAGES}
    assert together.keys() == names
    assert alone.keys() == {name for name in names if not name.startswith("resol") and name != "result"}


def test_no_time_of_a_worker_is_lost_or_counted_twice(speed_server: ServerProcess) -> None:
    """By a clock that goes on by one whenever it is read, which is at the begin and the end of each timed function."""
    calls = 200
    with throwaway_fleet(redis_url=f"{speed_server.tcp_url}/0") as fleet:
        stepwise = Stepwise(fleet)
        for sent in (lambda: noop.map(range(calls)), lambda: [noop.delay(number) for number in range(calls)]):
            sent()
            clock = count()
            watch = Stopwatch(lambda clock=clock: next(clock))
            with stages._working(watch, stepwise):
                stepwise.run(calls)
            assert sum(watch.seconds.values()) == next(clock) - 1
            assert watch.seconds["unpack"] == watch.seconds["run"] == calls
