"""Maps on engine 2: messages name ranges of blocks; what happens to one call happens to no other."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from brokers.celery.broker import CeleryBroker
from brokers.celery.messages import calls_of
from brokers.messages import Named, Status
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled
from orchestrator.settings import Settings
from task_workers.celery.message_task import settle_dead
from tests.celery.conftest import StartCelery
from tests.support import app_for_workers as app
from tests.support.engines import Engine
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.worker_process import notes, wait_note

pytestmark = pytest.mark.smoke  # on both brokers, always
PATIENCE = 60.0
RANGE = 32  # at this place of a key, "r" or "s" means a range and a digit a call
FEW = 100  # calls that ran for so long on a busy machine that they were noted as Running, which a record is needed for


def records(server: ServerProcess, fleet: Fleet) -> tuple[int, int]:
    """How many ranges, and how many single calls the store has in records."""
    with server.client() as client:
        prefix = fleet.broker.keys.prefix + "r:"
        ids = [key.decode().removeprefix(prefix) for key in client.keys(prefix + "*")]
    ranges = sum(run_id[RANGE] in "rs" for run_id in ids)
    return ranges, len(ids) - ranges


def messages(fleet: Fleet) -> list[list[int]]:
    """Take the messages out of the default queue; of each, how many calls its ranges have (0: a single call)."""
    return [[one.calls for one in named] for named in taken_out(fleet)]


def taken_out(fleet: Fleet) -> list[list[Named]]:
    broker = fleet.broker
    assert isinstance(broker, CeleryBroker)
    taken: list[list[Named]] = []
    with broker.carrier.queues.connection() as connection:
        queue = broker.topology.queue(broker.topology.name("default"))(connection.channel())
        while (message := queue.get(accept=["json"])) is not None:
            taken.append(calls_of(message.payload[0]))
            message.ack()
    return taken


def crashes(fleet: Fleet, run_ids: list[str]) -> list[int]:
    return [record.crashes for record in fleet.broker.records.read(run_ids)]


def test_a_map_is_carried_in_ranges_and_no_call_of_it_has_a_record(
    fleet: Fleet, server: ServerProcess, start_celery: StartCelery
) -> None:
    start_celery("-c", "2")
    futures = app.add.map(range(1000), 1)
    assert futures.result(timeout=PATIENCE) == list(range(1, 1001))
    wait_until(lambda: records(server, fleet)[0] == 0, message="no range is left")
    assert records(server, fleet)[1] < FEW
    assert fleet.broker.queues.backlog(["default"]).waiting == 0


def test_a_map_over_the_results_of_a_map_is_carried_in_ranges_too(
    fleet: Fleet, server: ServerProcess, start_celery: StartCelery
) -> None:
    first = app.add.map(range(300), 1)
    second = app.add.map(first, 10)
    assert records(server, fleet)[1] == 0
    start_celery("-c", "2")
    assert second.result(timeout=PATIENCE) == list(range(11, 311))
    wait_until(lambda: records(server, fleet)[0] == 0, message="no range is left")
    assert records(server, fleet)[1] < FEW


def test_so_many_calls_travel_together_as_are_worth_a_tenth_of_a_second(fleet: Fleet, server: ServerProcess) -> None:
    assert len(app.add.map(range(300), 1)) == 300
    assert records(server, fleet) == (14, 0)
    sent = messages(fleet)  # of a task that nobody has run yet 25, and what is left of blocks of 128 with others
    assert sum(map(sum, sent)) == 300
    assert all(25 <= sum(some) < 50 for some in sent[:-1])


def test_while_an_older_worker_lives_calls_have_records(fleet: Fleet, server: ServerProcess) -> None:
    with server.client() as client:
        keys, now = fleet.broker.keys, client.time()[0] * 1000
        client.zadd(keys.workers, {"old.1": now})
        client.zadd(keys.prefix + "block_readers", {"old.1": now})  # which workers of 0.2 note, and no more
    assert len(app.add.map(range(10), 1)) == 10
    assert records(server, fleet) == (0, 10)
    assert messages(fleet) == [[0] * 10]


def test_without_map_blocks_calls_have_records(engine: Engine, server: ServerProcess, namespace: str) -> None:
    settings: Settings = engine.settings(server, namespace, map_blocks=False)
    with fleet_of(settings) as fleet:
        assert len(app.add.map(range(10), 1)) == 10
        assert records(server, fleet) == (0, 10)


# -- one alone -------------------------------------------------------------------------------------------------------


def test_what_waits_behind_a_long_call_goes_to_another_process(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    start_celery("-c", "2")
    signs = ["go", *["begun"] * 19]
    (tmp_path / "begun").touch()
    futures = app.wait_for_sign.map([str(tmp_path)] * 20, [f"call {n}" for n in range(20)], signs)
    assert [future.result(timeout=PATIENCE) for future in futures[1:]] == [f"call {n}" for n in range(1, 20)]
    assert futures[0].state.is_running() or futures[0].state.is_pending()
    (tmp_path / "go").touch()
    assert futures[0].result(timeout=PATIENCE) == "call 0"
    assert notes(tmp_path).count("begins") == 20


def test_one_of_a_map_is_cancelled_while_it_waits_and_one_while_it_runs(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    start_celery("-c", "1")
    futures = app.wait_for_sign.map([str(tmp_path)] * 10, [f"call {n}" for n in range(10)])
    wait_note(tmp_path, "call 0 begins")
    assert futures[7].cancel()
    assert futures[0].cancel()
    futures[0].wait(PATIENCE)  # else it might come to its end before its worker hears of it
    (tmp_path / "go").touch()
    for at in (0, 7):
        with pytest.raises(RunCancelled):
            futures[at].result(timeout=PATIENCE)
    others = [at for at in range(10) if at not in (0, 7)]
    assert [futures[at].result(timeout=PATIENCE) for at in others] == [f"call {at}" for at in others]
    assert "call 7 begins" not in notes(tmp_path)


def test_one_of_a_map_is_tried_again_and_no_other(fleet: Fleet, start_celery: StartCelery, tmp_path: Path) -> None:
    start_celery("-c", "1")
    futures = app.fails_first.map([str(tmp_path)] * 10)
    assert futures.result(timeout=PATIENCE) == ["the second time"] * 10
    retries = [record.retries for record in fleet.broker.records.read([future.run_id for future in futures])]
    assert sorted(retries) == [0] * 9 + [1]


def test_a_range_whose_message_was_delivered_too_often_travels_again_call_by_call(
    fleet: Fleet, server: ServerProcess, start_celery: StartCelery
) -> None:
    futures = app.add.map(range(10), 1)
    (named,) = taken_out(fleet)
    settle_dead(named, "it was delivered too often")
    assert records(server, fleet) == (0, 10)
    start_celery("-c", "1")
    assert futures.result(timeout=PATIENCE) == list(range(1, 11))
    assert set(crashes(fleet, [future.run_id for future in futures])) == {0}
    assert fleet.broker.dead_letters.newest() == []


# -- deaths ----------------------------------------------------------------------------------------------------------


def test_a_child_is_killed_amid_a_range_and_only_what_ran_is_charged(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    start_celery("-c", "2")
    names = ["quick", "victim", *(f"call {n}" for n in range(18))]
    for name in names:
        if name != "victim":
            (tmp_path / name).touch()  # it is not the first attempt: it returns at once
    futures = app.sleep_if_first.map([str(tmp_path)] * 20, names)
    process = wait_note(tmp_path, "victim begins")
    futures[0].wait(PATIENCE)  # the store knows of its end, so it is not run again
    os.kill(process, signal.SIGKILL)
    assert futures.result(timeout=PATIENCE) == names
    assert crashes(fleet, [future.run_id for future in futures]) == [0, 1, *[0] * 18]
    assert notes(tmp_path).count("begins") == 21


def test_a_worker_is_killed_amid_a_map_and_another_does_the_rest(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    first = start_celery("-c", "1")
    names = ["victim", *(f"call {n}" for n in range(60))]
    for name in names[1:]:
        (tmp_path / name).touch()
    futures = app.sleep_if_first.map([str(tmp_path)] * 61, names)
    wait_note(tmp_path, "victim begins")
    first.kill()
    start_celery("-c", "1")
    assert futures.result(timeout=PATIENCE) == names
    assert crashes(fleet, [future.run_id for future in futures])[1:] == [0] * 60
    assert notes(tmp_path).count("begins") == 62


def test_a_worker_that_stops_gives_back_what_it_has_not_begun(
    fleet: Fleet, start_celery: StartCelery, tmp_path: Path
) -> None:
    first = start_celery("-c", "1")
    names = [f"call {n}" for n in range(20)]
    futures = app.sleep_and_note.map([str(tmp_path)] * 20, names, [0.05] * 20)
    wait_note(tmp_path, "call 3 begins")
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(60) == 0, first.output
    start_celery("-c", "1")
    assert futures.result(timeout=PATIENCE) == names
    assert set(crashes(fleet, [future.run_id for future in futures])) == {0}
    assert notes(tmp_path).count("begins") == 20
    assert {record.status for record in fleet.broker.records.read([f.run_id for f in futures])} == {Status.COMPLETED}
