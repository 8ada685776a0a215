"""Handles of maps, made when somebody takes one out: of calls that end together, alone, elsewhere, or twice."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator import flow
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.map_list import MapFutureList
from orchestrator.errors import RunCancelled
from orchestrator.futures import PrefectFuture, PrefectFutureList, as_completed, wait
from tests.support import signals
from tests.support.apps import basics
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
CALLS = 300
pytestmark = pytest.mark.usefixtures("worker")


def handles_of(futures: PrefectFutureList[Any]) -> int:
    """How many handles of a map there are; none are made on demand where the store keeps no blocks."""
    if not current_fleet().broker.runs.keeps_blocks:
        return 0
    assert isinstance(futures, MapFutureList)
    assert futures.whole is not None
    return len(futures.whole._made.among(range(len(futures))))


def test_a_map_is_waited_for_and_read_without_handles() -> None:
    futures = basics.add.map(range(CALLS))
    assert isinstance(futures, PrefectFutureList)
    futures.wait(timeout=60)
    assert futures.result(timeout=60) == [number + 1 for number in range(CALLS)]
    assert {state.name for state in futures.states} == {"Completed"}
    assert handles_of(futures) == 0
    assert not current_fleet().open_futures._open


def test_a_flow_makes_no_handles_of_its_maps() -> None:
    lists: list[PrefectFutureList[int]] = []

    @flow
    def sums() -> int:
        futures = basics.add.map(range(CALLS))
        lists.append(futures)
        return sum(futures.result())

    assert sums() == sum(range(CALLS)) + CALLS
    assert handles_of(lists[0]) == 0


def test_handles_that_are_taken_end_with_the_others(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = basics.weigh.map(["a", "b", "c", "d", "e"], entered=entered, go_on=go_on)
    called: list[Any] = []
    held[2].add_done_callback(called.append)
    first = held[0]
    foreign = PrefectFuture[Any](held[1].run_id)
    assert not wait(held, timeout=0).done
    signals.give(go_on)
    assert foreign.result(timeout=60) == first.result(timeout=60).replace("a", "b")
    assert len(list(as_completed(held, timeout=60))) == 5
    wait_until(lambda: called == [held[2]])
    assert first is held[0]
    assert held == [*held]


def test_a_call_that_is_cancelled_and_one_that_is_replayed(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = basics.hold.map([entered] * 40, go_on)
    assert held[39].cancel()
    held[39].wait(60)  # its worker may hold it already, and is asked to leave it
    signals.give(go_on)
    with pytest.raises(RunCancelled):
        held.result(timeout=60)
    ended = held.result(timeout=60, raise_on_failure=False)
    assert ended[:39] == ["went on"] * 39
    assert isinstance(ended[39], RunCancelled)
    failed = basics.fail.map(["once"] * 6)
    failed.wait(60)
    assert fleet.broker.runs.replay([failed[3].run_id]) == [failed[3].run_id]
    failed[3].reopen()
    failed.wait(60)
    assert {state.name for state in failed.states} == {"Failed"}


def test_results_that_are_long_and_those_that_are_not_come_together() -> None:
    values = ["x" * (40_000 if number % 7 == 0 else 5) for number in range(60)]
    assert basics.echo.map(values).result(timeout=60) == values


def test_an_inbox_that_is_lost_loses_no_end(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = basics.hold.map([entered] * 5, go_on)
    futures = basics.add.map(range(CALLS))
    signals.wait_for(entered)
    inboxes: Any = fleet.broker.inboxes
    inboxes._store.wires.commands([("DEL", inboxes._store.keys.inbox(fleet.process))])
    signals.give(go_on)
    assert futures.result(timeout=60) == [number + 1 for number in range(CALLS)]
    assert held.result(timeout=60) == ["went on"] * 5


def test_a_map_is_an_argument_a_pickle_and_a_copy() -> None:
    futures = basics.add.map(range(40))
    expected = [number + 1 for number in range(40)]
    assert basics.echo.submit(futures).result(timeout=60) == expected
    assert basics.echo.map(futures).result(timeout=60) == expected
    assert basics.total.submit(*futures).result(timeout=60) == sum(expected)
    for same in (pickle.loads(pickle.dumps(futures)), copy.copy(futures), copy.deepcopy(futures), futures[:]):
        assert same == futures
        assert [future.result(timeout=60) for future in same] == expected
    assert pickle.loads(pickle.dumps(futures)).result(timeout=60) == expected


def test_a_forked_process_waits_for_the_map_of_its_parent(tmp_path: Path) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    held = basics.hold.map([entered] * 5, go_on)
    futures = basics.add.map(range(CALLS))
    taken = futures[-1]
    signals.wait_for(entered)
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 1
        try:
            signals.give(go_on)
            whole = futures.result(timeout=60) == [number + 1 for number in range(CALLS)]
            code = 0 if whole and held.result(timeout=60) == ["went on"] * 5 and taken.result(60) == CALLS else 2
        finally:
            os._exit(code)
    assert futures.result(timeout=60)[-1] == CALLS
    assert held.result(timeout=60) == ["went on"] * 5
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_map_that_could_not_be_sent_is_crashed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow
    def sends() -> list[Any]:
        basics.add.submit(1).result(timeout=60)
        with monkeypatch.context() as patched:
            patched.setattr(fleet.sender._trips, "_submit", _refuse)
            futures = basics.add.map(range(8))
            futures.wait(60)
        return [state.name for state in futures.states]

    assert sends() == ["NotSent"] * 8


def _refuse(envelopes: Any) -> Any:
    raise RuntimeError("the test refuses")


def test_calls_that_have_ended_are_in_the_store_as_ever(fleet: Fleet) -> None:
    futures = basics.add.map(range(8))
    futures.wait(60)
    records = fleet.broker.records.read([future.run_id for future in futures])
    assert {record.status for record in records} == {Status.COMPLETED}
