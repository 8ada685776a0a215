"""What `make test` leaves to `make test-all`: rows that another row stands for, and never a layer's own proof."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rows import is_left_to_another_row, second_rows

ROOT = Path(__file__).parents[2]


def item(path: str, smoke: bool = False, **parameters: str) -> Any:
    """What is asked of a collected test."""
    return SimpleNamespace(
        path=ROOT / "tests" / path,
        callspec=SimpleNamespace(params=parameters),
        get_closest_marker=lambda name: object() if smoke and name == "smoke" else None,
    )


@pytest.mark.parametrize("suite", ["contract", "faults"])
def test_the_suites_of_the_servers_themselves_run_on_both(suite: str) -> None:
    assert not is_left_to_another_row(item(f"{suite}/test_x.py", server_program="redis-server"))


def test_behaviour_runs_whole_on_one_row_of_each_engine() -> None:
    rows = ("embedded", "redis-server", "celery+redis", "celery+amqp")
    run = [row for row in rows if not is_left_to_another_row(item("behaviour/test_x.py", row=row))]
    assert len(run) == 2
    assert "embedded" in run
    assert {row.split("+")[0] for row in run} == {"embedded", "celery"}


def test_what_is_marked_runs_on_every_row() -> None:
    for name, rows in second_rows().items():
        for row in rows:
            assert is_left_to_another_row(item("behaviour/test_x.py", **{name: row}))
            assert not is_left_to_another_row(item("behaviour/test_x.py", smoke=True, **{name: row}))
