"""Results as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from orchestrator.contrib.starlette import json_safe


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    when: datetime
    much: float


@dataclass
class Point:
    x: int
    more: Any


class Odd:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        ("text", "text"),
        ([1, 2.5, True], [1, 2.5, True]),
        ((1, {2}), [1, [2]]),
        ({1: "a", "b": 2, None: 3}, {"1": "a", "b": 2, "None": 3}),
        (float("nan"), {"$repr": "nan"}),
        (b"\xff", {"$repr": "b'\\xff'"}),
        (3 + 4j, {"$repr": "(3+4j)"}),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (timedelta(seconds=90), "PT1M30S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (PurePosixPath("/a"), "/a"),
        (Colour.RED, "red"),
        (
            Model(when=datetime(2026, 1, 2), much=float("inf")),
            {"when": "2026-01-02T00:00:00", "much": {"$repr": "inf"}},
        ),
        (Point(1, [Point(2, ...)]), {"x": 1, "more": [{"x": 2, "more": {"$repr": "Ellipsis"}}]}),
        (Odd(), {"$repr": "<Odd, whose repr raised ValueError>"}),
        (Odd, {"$repr": repr(Odd)}),
        (ValueError("x"), {"$repr": "ValueError('x')"}),
    ],
)
def test_what_json_cannot_hold_is_marked(value: Any, told: Any) -> None:
    assert json_safe(value) == told
    json.dumps(json_safe(value), allow_nan=False)


def test_a_value_inside_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    json.dumps(json_safe(endless))


def test_a_long_repr_is_cut() -> None:
    assert len(json_safe(b"x" * 10_000)["$repr"]) <= 2001
