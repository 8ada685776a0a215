"""A map over what is not there yet: futures, states and other maps are resolved, then mapped."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import allow_failure, flow, unmapped
from orchestrator.errors import MappingLengthMismatch, MappingMissingIterable, UpstreamTaskError
from orchestrator.futures import PrefectFutureList, as_completed, wait
from orchestrator.states import Completed, Failed, State
from orchestrator.submission.deferred import DeferredFutureList
from tests.support import signals
from tests.support.apps import basics

APP = "tests.support.apps.basics"
THREADS = 2
pytestmark = pytest.mark.usefixtures("worker")


def numbers(*values: Any) -> Any:
    """A future whose result is that list."""
    return basics.echo.submit(list(values))


IDS = ["one", "beside a list", "two", "named", "beside a range", "beside a scalar", "of several kinds", "unmapped"]
IDS += ["empty", "a state", "allow_failure", "beside futures", "wait_for", "async"]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        (lambda: basics.add.map(numbers(1, 2, 3)), [2, 3, 4]),
        (lambda: basics.add.map([10, 20], numbers(1, 2)), [11, 22]),
        (lambda: basics.add.map(numbers(1, 2), y=numbers(3, 4)), [4, 6]),
        (lambda: basics.add.map(x=numbers(1, 2), y=7), [8, 9]),
        (lambda: basics.add.map(range(3), numbers(1, 2, 3)), [1, 3, 5]),
        (lambda: basics.add.map([1, 2], basics.add.submit(4)), [6, 7]),
        (lambda: basics.echo.map(numbers(1, [2], {"a": 3})), [1, [2], {"a": 3}]),
        (lambda: basics.add.map(numbers(1, 2), unmapped(basics.add.submit(4))), [6, 7]),
        (lambda: basics.echo.map(numbers()), []),
        (lambda: basics.add.map(Completed(data=[1, 2])), [2, 3]),
        (lambda: basics.add.map(allow_failure(numbers(1, 2))), [2, 3]),
        (lambda: basics.add.map([basics.add.submit(1), basics.add.submit(2)], numbers(5, 6)), [7, 9]),
        (lambda: basics.add.map(numbers(1, 2), wait_for=[basics.add.submit(1)]), [2, 3]),
        (lambda: basics.echo_async.map(numbers(1, 2)), [1, 2]),
    ],
    ids=IDS,
)
def test_what_is_mapped_is_resolved_first(mapped: Callable[[], Any], expected: Any) -> None:
    assert mapped().result(timeout=60) == expected

    @flow
    def in_a_flow() -> Any:
        return mapped().result(timeout=60)

    assert in_a_flow() == expected


def test_it_is_a_list_of_futures() -> None:
    futures = basics.add.map(numbers(1, 2, 3))
    assert isinstance(futures, PrefectFutureList)
    assert len(futures) == 3
    assert bool(futures)
    assert [future.result(timeout=60) for future in futures] == [2, 3, 4]
    assert futures[1].result() == 3
    assert futures[0] in futures
    assert [*futures] == list(futures) == futures + [] == [] + futures  # noqa: RUF005
    assert [state.name for state in futures.states] == ["Completed"] * 3
    assert pickle.loads(pickle.dumps(futures)) == list(futures)
    assert basics.add.map(numbers(1), return_state=True)[0].result() == 2


def test_waiting_for_it() -> None:
    done, not_done = wait(basics.add.map(numbers(1, 2)), timeout=20)
    assert (len(done), len(not_done)) == (2, 0)
    assert sorted(future.result() for future in as_completed(basics.add.map(numbers(1, 2)), timeout=20)) == [2, 3]
    futures = basics.add.map(numbers(1, 2))
    futures.wait(timeout=20)
    assert all(future.settled for future in futures)


def test_it_is_passed_on_whole() -> None:
    first = basics.add.map(numbers(1, 2))
    second = basics.add.map(first, numbers(10, 20))
    assert basics.total.map(second, first).result(timeout=60) == [14, 26]
    assert basics.echo.submit(basics.add.map(numbers(1, 2))).result(timeout=60) == [2, 3]
    assert basics.echo.submit({"deep": [basics.add.map(numbers(1))]}).result(timeout=60) == {"deep": [[2]]}
    assert basics.add.submit(1, wait_for=basics.add.map(numbers(1))).result(timeout=60) == 2


def test_a_flow_that_returns_it_ends_with_its_runs() -> None:
    @flow
    def mapping() -> Any:
        return basics.add.map(numbers(1, 2))

    parts = mapping()
    assert [part.result() if isinstance(part, State) else part for part in parts] == [2, 3]


def test_an_upstream_that_failed_makes_it_not_ready() -> None:
    failed = basics.fail.submit("so what")
    futures = basics.leave.map(failed)
    with pytest.raises(UpstreamTaskError):
        futures.result(timeout=60)
    assert [(state.type.value, state.name) for state in futures.states] == [("PENDING", "NotReady")]
    further = basics.add.map(futures)
    further.wait(timeout=20)
    assert [state.name for state in further.states] == ["NotReady"]
    errors = basics.pair.map([1, 2], allow_failure(basics.fail.submit())).result(timeout=60)
    assert [(number, type(error)) for number, error in errors] == [(1, ValueError), (2, ValueError)]
    settled = basics.fail.submit()
    settled.wait(timeout=20)
    for known in (settled, Failed(message="no")):
        with pytest.raises(UpstreamTaskError):
            basics.add.map(known).result(timeout=60)


def test_one_of_many_that_failed_can_be_allowed() -> None:
    upstreams = [basics.add.submit(1), basics.fail.submit("so what")]
    kinds = basics.kind_of.map(allow_failure(upstreams))
    assert kinds.result(timeout=60) == ["int", "ValueError"]
    assert basics.kind_of.map(allow_failure([1, "a"])).result(timeout=60) == ["int", "str"]


def test_lengths_are_compared_when_they_are_known() -> None:
    with pytest.raises(MappingLengthMismatch, match="#1 has 2, #2 has 3"):
        basics.add.map([1, 2], numbers(1, 2, 3)).result(timeout=60)
    with pytest.raises(MappingMissingIterable):
        basics.add.map(basics.add.submit(1)).result(timeout=60)


def test_nobody_waits_in_a_slot_and_nobody_has_to_ask(tmp_path: Path) -> None:
    entered, go_on, sign = (str(tmp_path / name) for name in ("entered", "go on", "sign"))
    held = basics.weigh.submit("x", entered, go_on)
    signals.wait_for(entered)
    later = basics.echo.submit([sign] * 3, wait_for=[held])
    maps = [basics.leave.map(later) for _ in range(3)]
    maps.append(basics.leave.map(basics.echo.map(later)))  # a map over a map
    assert all(isinstance(futures, DeferredFutureList) for futures in maps)
    with pytest.raises(TimeoutError, match="has not ended within"):
        maps[0].result(timeout=0.01)
    assert wait(maps[0], timeout=0.01).done == set()
    assert basics.add.submit(1).result(timeout=60) == 2, "one of two slots is free"
    signals.give(go_on)
    held.wait(timeout=20)
    signals.wait_for(sign, 12)  # although nobody has asked for the lists
