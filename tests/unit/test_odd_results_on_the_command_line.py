"""`runs show`, `dead show` and `task call` write any result: its comparison, text and keys are the user's code."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pandas
import pytest

from task_workers.cli.run_facts import print_facts
from task_workers.cli.terminal import echo_json


class NoText:
    def __repr__(self) -> str:
        raise RuntimeError


class Exits:
    def __repr__(self) -> str:
        raise SystemExit(7)

    def __eq__(self, other: object) -> bool:
        raise SystemExit(8)

    __hash__ = None  # type: ignore[assignment]


class NotText:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
ODD: list[Any] = [
    NoText(),
    Exits(),
    NotText(),
    {"a": [NoText()]},
    {(1, 2): "x"},
    CYCLE,
    numpy.array([1, 2]),
    pandas.DataFrame({"a": [1]}),
]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_an_odd_result_is_written_beside_the_other_facts(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"id": "r", "result": value, "queue": "default"})
    written = capsys.readouterr().out
    assert written.startswith("id             r\nresult")
    assert written.endswith("queue          default\n")
    echo_json({"id": "r", "result": value, "queue": "default"})
    facts = json.loads(capsys.readouterr().out)
    assert (facts["id"], facts["queue"], bool(facts["result"])) == ("r", "default", True)
    echo_json(value)
    assert json.loads(capsys.readouterr().out)


def test_what_says_nothing_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"id": "r", "message": "", "tags": [], "parameters": {}, "error": None, "result": 0})
    assert capsys.readouterr().out == "id             r\nresult         0\n"
