"""Calls that wait for calls of their own lend their place, however they wait, so that a few places are enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RunCancelled, TaskTimeout
from orchestrator.futures import wait
from tests.support import signals
from tests.support.apps import nesting as app

APP = app.__name__
THREADS = 1
pytestmark = [pytest.mark.behaviour, pytest.mark.usefixtures("worker")]
MORE_THAN_PLACES = {True: 130, False: 8}  # for async tasks there are 100, for others one
WAYS = [
    app.awaits,
    app.gathers,
    app.as_they_end,
    app.waits_in_to_thread,
    app.waits_on_a_loop_of_its_own,
    app.waits_in_threads,
    app.waits_in_a_thread,
    app.runs_a_flow,
    app.runs_an_async_flow,
    app.hands_over,
    app.hands_over_async,
    app.gives_up_waiting,
]


@pytest.mark.smoke
@pytest.mark.parametrize("parent", WAYS, ids=lambda parent: parent.name)
def test_more_parents_than_places_all_complete(parent: Any) -> None:
    futures = [parent.submit() for _ in range(MORE_THAN_PLACES[parent.isasync])]
    wait(futures, timeout=60)
    assert [future.result(timeout=0) for future in futures] == [3] * len(futures)


def test_places_that_were_lent_are_places_again() -> None:
    """As many as before: none is lost, and none too many is left."""
    wait([app.gives_up_waiting.submit() for _ in range(120)], timeout=60)
    assert [future.result(timeout=60) for future in app.leaf_async.map(range(300))] == list(range(300))
    assert app.deep.submit(3).result(timeout=60) == 8


@pytest.fixture
def signs(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Given when the call that keeps the only place has begun, and when it may end."""
    begun, may_end = str(tmp_path / "begun"), str(tmp_path / "may end")
    yield begun, may_end
    signals.give(may_end)
    assert app.leaf.submit(1).result(timeout=60) == 1


@pytest.mark.parametrize("parent", [app.waits_too_long, app.takes_its_ends_too_long], ids=lambda parent: parent.name)
def test_a_task_whose_wait_takes_too_long_ends_although_its_place_is_taken(parent: Any, signs: tuple[str, str]) -> None:
    future = parent.submit(*signs)
    signals.wait_for(signs[0])
    with pytest.raises(TaskTimeout, match=r"ran longer than 0\.5 s"):  # and its process was not killed for it
        future.result(timeout=60)


def test_a_cancelled_task_that_waits_ends_although_its_place_is_taken(signs: tuple[str, str]) -> None:
    future = app.waits_for_it.submit(*signs)
    signals.wait_for(signs[0])
    assert future.cancel()
    with pytest.raises(RunCancelled, match="while it ran"):
        future.result(timeout=60)
