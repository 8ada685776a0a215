"""Runs that wait for a place which only runs that wait so hold: they are told, instead of waiting for ever."""

from __future__ import annotations

import pytest

from orchestrator.errors import LimitDeadlock
from tests.support.apps import nested_limits as app

APP = "tests.support.apps.nested_limits"
THREADS = 8
pytestmark = pytest.mark.usefixtures("worker")


def test_runs_that_wait_for_each_other_under_a_limit_end_with_an_error(row: str) -> None:
    hopeless = [app.one.submit(1), app.gathers.submit(1), app.takes_the_first.submit(1), app.outer.submit(2)]
    mutual = app.side_by_side.map([1, 1])
    for future in hopeless:
        with pytest.raises(LimitDeadlock, match=r"places? (is|are) held under the limit"):
            future.result(timeout=40)
    ends = [future.result(timeout=40, raise_on_failure=False) for future in mutual]
    if not row.startswith(
        "celery"
    ):  # there both may come in one message, and the second begin when the first has ended
        assert any(isinstance(end, LimitDeadlock) for end in ends), "the other may go on with its place"
    assert all(end == 1 or isinstance(end, LimitDeadlock) for end in ends)
    assert app.outer.submit(1).result(timeout=40) == 1, "as many places as levels"


def test_what_they_call_may_wait_for_them() -> None:
    hopeless = {kind.name: kind.submit(1) for kind in app.INDIRECT}
    for future in hopeless.values():
        with pytest.raises(LimitDeadlock, match=r"the one place is held under the limit"):
            future.result(timeout=60)
