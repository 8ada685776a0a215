"""A handle among the arguments stands for its result, wherever it is, and nobody waits for it in a slot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import allow_failure, flow, unmapped
from orchestrator.errors import UpstreamTaskError
from orchestrator.futures import wait
from orchestrator.states import Completed, Failed
from tests.support import signals
from tests.support.apps import basics

APP = "tests.support.apps.basics"
THREADS = 2
pytestmark = pytest.mark.usefixtures("worker")


def test_a_handle_stands_for_its_result() -> None:
    assert basics.add.submit(basics.add.submit(1), y=basics.add.submit(2)).result(timeout=60) == 5


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("wrapped", "expected"),
    [
        (lambda one, two: [one, [two, 3]], [2, [3, 3]]),
        (lambda one, two: (one, (two,)), (2, (3,))),
        (lambda one, two: {"a": one, "b": {"c": [two]}}, {"a": 2, "b": {"c": [3]}}),
        (lambda one, two: {one, two}, {2, 3}),
        (lambda one, two: [one] * 3, [2, 2, 2]),
        (lambda one, two: Completed(data=[1, 2]), [1, 2]),
        (lambda one, two: [unmapped(one), two], [2, 3]),
    ],
    ids=["lists", "tuples", "dicts", "sets", "the same thrice", "a state", "unmapped"],
)
def test_handles_at_any_depth(wrapped: object, expected: object) -> None:
    value = wrapped(basics.add.submit(1), basics.add.submit(2))  # type: ignore[operator]
    assert basics.echo.submit(value).result(timeout=60) == expected


def test_handles_in_dataclasses_and_models() -> None:
    one = basics.add.submit(1)
    assert basics.contents.submit(basics.Basket("me", [one, {"x": one}])).result(timeout=60) == [2, {"x": 2}]
    assert basics.contents.submit(basics.Order(number=1, lines=[one])).result(timeout=60) == [2]
    nested = basics.Basket("me", basics.Order(number=1, lines=one))
    assert basics.contents.submit(nested).result(timeout=60) == basics.Order(number=1, lines=2)


@pytest.mark.smoke
def test_mapping_over_handles() -> None:
    numbers = basics.add.map(range(50))
    doubled = basics.total.map(numbers, numbers)
    total = basics.total.submit(basics.add.submit(0), *doubled)
    assert doubled.result(timeout=60) == [2 * (n + 1) for n in range(50)]
    assert total.result(timeout=60) == 1 + sum(2 * (n + 1) for n in range(50))


def test_a_map_behind_a_map_of_which_some_fail() -> None:
    """Each call of the second has the end of its own upstream, and of no other; so has a third behind that."""
    values = basics.echo.map(range(300))
    halves = basics.halve.map(values)
    doubled = basics.pair.map(halves, unmapped(values[0]), wait_for=[values[7]])
    lenient = basics.echo_async.map(allow_failure(halves))
    wait([*doubled, *lenient], timeout=60)
    for number, (half, two, kept) in enumerate(zip(halves, doubled, lenient, strict=True)):
        if number % 2:
            assert isinstance(half.result(raise_on_failure=False), ValueError)
            assert isinstance(kept.result(), ValueError)
            assert two.state.name == "NotReady"
            with pytest.raises(UpstreamTaskError, match=half.run_id):
                two.result()
        else:
            assert (half.result(), two.result(), kept.result()) == (number // 2, [number // 2, 0], number // 2)


def test_an_upstream_that_failed_makes_the_call_not_ready(tmp_path: Path) -> None:
    failed = basics.fail.submit()
    below = basics.leave.submit(str(tmp_path / "sign"), wait_for=[failed])
    further = basics.echo.submit({"deep": [basics.echo.submit(failed)]})
    for future in (below, further):
        with pytest.raises(UpstreamTaskError) as caught:
            future.result(timeout=60)
        assert (future.state.type.value, future.state.name) == ("PENDING", "NotReady")
        assert isinstance(future.result(raise_on_failure=False), UpstreamTaskError)
        assert caught.value is not None
    with pytest.raises(UpstreamTaskError, match=failed.run_id):
        below.result()
    assert signals.count(tmp_path / "sign") == 0


def test_wait_returns_for_runs_that_are_not_ready() -> None:
    below = basics.echo.submit(basics.fail.submit())
    assert wait([below], timeout=60).not_done == set()


def test_allow_failure_gives_the_exception() -> None:
    failed, good = basics.fail.submit("so what"), basics.add.submit(1)
    error = basics.echo.submit(allow_failure(failed)).result(timeout=60)
    assert isinstance(error, ValueError)
    assert str(error) == "so what"
    assert basics.kind_of.submit(value=allow_failure(failed)).result(timeout=60) == "ValueError"
    assert basics.echo.submit(allow_failure(good)).result(timeout=60) == 2
    assert basics.add.submit(1, wait_for=[allow_failure(failed)]).result(timeout=60) == 2


def test_allow_failure_of_a_collection_means_everything_in_it() -> None:
    failed, good = basics.fail.submit("so what"), basics.add.submit(1)
    results = basics.echo.submit(allow_failure([good, {"bad": failed}])).result(timeout=60)
    assert results[0] == 2
    assert isinstance(results[1]["bad"], ValueError)
    assert basics.add.submit(1, wait_for=allow_failure([failed, good])).result(timeout=60) == 2


def test_allow_failure_of_something_that_never_ran() -> None:
    below = basics.echo.submit(basics.fail.submit())
    assert basics.kind_of.submit(allow_failure(below)).result(timeout=60) == "UpstreamTaskError"


def test_a_failed_state_among_the_arguments_is_refused_at_the_call() -> None:
    with pytest.raises(UpstreamTaskError):
        basics.echo.submit([Failed(message="no")])
    with pytest.raises(UpstreamTaskError):
        basics.add.submit(1, wait_for=[Failed(message="no")])
    assert basics.kind_of.submit(allow_failure(Failed(message="no"))).result(timeout=60) == "RunFailed"


@dataclasses.dataclass
class _Job:
    future: object


@pytest.mark.parametrize(
    "around",
    [
        lambda future: {"k": future},
        lambda future: [[{"k": (future,)}]],
        lambda future: [_Job(future)],
        lambda future: iter([future]),
    ],
    ids=["dict", "nested", "dataclass", "iterator"],
)
def test_what_is_waited_for_may_be_nested(around: Callable[[object], Any]) -> None:
    failed, good = basics.fail.submit("no"), basics.add.submit(1)
    assert basics.add.submit(1, wait_for=around(good)).result(timeout=60) == 2
    assert basics.add.submit(1, wait_for=around(allow_failure(failed))).result(timeout=60) == 2
    with pytest.raises(UpstreamTaskError):
        basics.add.submit(1, wait_for=around(failed)).result(timeout=60)


def test_waiting_calls_hold_no_slots(tmp_path: Path) -> None:
    held = basics.hold.submit(str(tmp_path / "in"), str(tmp_path / "on"))
    waiting = [basics.echo.submit(held) for _ in range(20)]
    signals.wait_for(tmp_path / "in")
    assert basics.add.submit(1).result(timeout=60) == 2  # one of the two slots is free, though 20 calls wait
    signals.give(str(tmp_path / "on"))
    assert [future.result(timeout=60) for future in waiting] == ["went on"] * 20


def test_fifty_tasks_that_wait_for_five_others_on_two_slots() -> None:
    futures = [basics.submit_inside.submit(5) for _ in range(50)]
    assert [future.result(timeout=60) for future in futures] == [[1, 2, 3, 4, 5]] * 50


def test_a_result_may_hold_handles() -> None:
    @flow
    def pipeline() -> int:
        future = basics.echo.submit(3)
        return basics.add.submit(future, future).result(timeout=60)

    assert pipeline() == 6


def test_a_direct_call_waits_for_handles_among_its_arguments() -> None:
    one, failed = basics.add.submit(1), basics.fail.submit()
    assert basics.add(one) == 3
    assert basics.contents(basics.Basket("me", [one])) == [2]
    assert basics.contents(basics.Order(number=1, lines={"x": one})) == {"x": 2}
    assert isinstance(basics.echo(allow_failure(failed)), ValueError)
    with pytest.raises(UpstreamTaskError):
        basics.echo(failed)
