"""Calls that a flow sends one after another are kept together, and are done in the order in which they were sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import routes_of
from orchestrator import flow, tags
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.futures import PrefectFuture
from orchestrator.task_runners import FleetTaskRunner
from tests.behaviour.test_forks import forked, wait_for
from tests.support.apps import basics
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
pytestmark = pytest.mark.usefixtures("worker")


def in_flow(body: Callable[[], Any]) -> Any:
    """What this returns in a flow whose calls go to the fleet."""
    found: list[Any] = []

    @flow(task_runner=FleetTaskRunner("never"))
    def loop() -> None:
        found.append(body())

    loop()
    return found[0]


def in_blocks(futures: list[PrefectFuture[Any]]) -> int:
    return sum(future.run_id[14] == "8" for future in futures)


def test_a_loop(fleet: Fleet) -> None:
    def body() -> list[PrefectFuture[int]]:
        with fleet.sender._turn.lock:  # nothing is sent before all are there
            return [basics.add.submit(n, 10) for n in range(200)]

    futures = in_flow(body)
    assert [future.result(timeout=60) for future in futures] == [n + 10 for n in range(200)]
    assert len({future.run_id for future in futures}) == 200
    if fleet.broker.runs.keeps_blocks:
        assert in_blocks(futures) == 199
        assert len({future.run_id[:32] for future in futures[1:]}) == 2
    records = fleet.broker.records.read([future.run_id for future in futures])
    assert len({record.flow_run_id for record in records}) == 1
    assert records[0].flow_run_id is not None


@pytest.mark.parametrize("plain", [1, 2, 6])
def test_a_call_does_not_overtake_the_one_that_it_waits_for_deep_in_its_arguments(fleet: Fleet, plain: int) -> None:
    def body() -> list[PrefectFuture[Any]]:
        with fleet.sender._turn.lock:
            before = [basics.echo.submit([n]) for n in range(plain + 1)]
            direct = basics.echo.submit(before[-1])
            deep = basics.echo.submit([direct])
            return [*before, direct, deep, basics.echo.submit([deep, [direct]])]

    *_, direct, deep, both = in_flow(body)
    assert direct.result(timeout=60) == [plain]
    assert deep.result(timeout=60) == [[plain]]
    assert both.result(timeout=60) == [[[plain]], [[plain]]]


def test_a_loop_whose_calls_wait_for_each_other(fleet: Fleet) -> None:
    def body() -> list[Any]:
        with fleet.sender._turn.lock:
            firsts = []
            seconds = []
            for n in range(20):
                firsts.append(basics.add.submit(n, 1))
                seconds.append(basics.add.submit(firsts[-1], 100))
            deep = [basics.echo.submit([future]) for future in seconds]
        assert not fleet.broker.runs.keeps_blocks or in_blocks(firsts) == 19
        assert in_blocks(seconds) == 0
        return [future.result(timeout=60) for future in deep]

    assert in_flow(body) == [[n + 101] for n in range(20)]


def test_calls_that_cannot_be_sent_in_the_middle_of_a_loop(fleet: Fleet) -> None:
    def body() -> list[Any]:
        futures, refused = [], 0
        for n in range(30):
            try:
                futures.append(basics.echo.submit(threading.Lock() if n % 10 == 5 else n))
            except SerializationError:
                refused += 1
        return [refused, *(future.result(timeout=60) for future in futures)]

    assert in_flow(body) == [3, *(n for n in range(30) if n % 10 != 5)]


def test_what_is_different_in_a_loop_stays_different(fleet: Fleet) -> None:
    slow = basics.add.with_options(tags=["slow"])

    def body() -> list[Any]:
        futures = []
        for n in range(12):
            with tags("odd" if n % 2 else "even"):
                futures.append(basics.add.submit(n, 1))
            futures.append(slow.submit(n, 2))
            futures += basics.add.map([n] * 5, 3)
        return [future.result(timeout=60) for future in futures]

    assert in_flow(body) == [value for n in range(12) for value in (n + 1, n + 2, *[n + 3] * 5)]


def test_two_flow_runs_one_after_another_have_their_own_calls(fleet: Fleet) -> None:
    """Their frames are kept from call to call, and hold the flow run."""

    def body() -> list[str]:
        return [basics.add.submit(n).run_id for n in range(10)]

    parents = []
    for run_ids in (in_flow(body), in_flow(body)):
        wait_until(lambda ids=run_ids: all(record.task for record in fleet.broker.records.read(ids)), 20)  # type: ignore[misc]
        (parent,) = {record.flow_run_id for record in fleet.broker.records.read(run_ids)}
        parents.append(parent)
    assert len(set(parents)) == 2


def test_calls_are_queued_in_the_order_in_which_they_are_sent(fleet: Fleet) -> None:
    nobody = "nobody-but-this-test"
    one, other = (basics.add.with_options(queue=nobody, name=name) for name in ("one", "other"))
    limited = basics.add.with_options(queue=nobody, concurrency=50)

    def body() -> list[str]:
        sent = []
        with fleet.sender._turn.lock:
            for task, times in ((one, 8), (limited, 1), (one, 8), (other, 9), (limited, 2), (one, 6)):
                sent += [task.submit(n).run_id for n in range(times)]
            sent += [future.run_id for future in one.map(range(6))]
            sent += [one.submit(n).run_id for n in range(6)]
        return sent

    sent = in_flow(body)
    fleet.sender.flush()
    if fleet.broker.carrier is not None:  # its messages have an order of their own
        return
    taken = fleet.broker.deliveries.fetch("test", routes_of([nobody], "s"), len(sent))[0]
    assert [delivery.run_id for delivery in taken] == sent
    fleet.broker.runs.cancel(sent)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_loop_begins_blocks_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    def send() -> list[list[Any]]:
        futures = [basics.add.submit(n, 10) for n in range(30)]
        return [[future.run_id, future.result(timeout=60)] for future in futures]

    def body() -> list[Any]:
        first = [basics.add.submit(n, 10) for n in range(30)]
        child = forked(tmp_path / "child", send)
        mine = send()
        wait_for(child)
        return [*([future.run_id, future.result(timeout=60)] for future in first), *mine]

    rows = [*in_flow(body), *json.loads((tmp_path / "child").read_text())]
    assert [value for _, value in rows] == [n + 10 for n in range(30)] * 3
    assert len({run_id for run_id, _ in rows}) == 90
