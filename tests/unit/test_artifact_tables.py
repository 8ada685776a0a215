"""Tables as people hand them in: every shape, every odd cell, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgpack
import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, SecretStr

from orchestrator.artifacts import contents, tables
from orchestrator.artifacts.cells import MAX_DEPTH, plain
from orchestrator.artifacts.contents import pack_rows, read_rows
from orchestrator.artifacts.paging import Wanted, cell_text, ordered, rank
from orchestrator.artifacts.tables import plain_rows, shaped, table_of


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int
    token: SecretStr = SecretStr("hidden-value")


@dataclass
class Order:
    number: int
    when: date


Pair = namedtuple("Pair", ["left", "right"])
HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        (1, 1),
        (True, True),
        (None, None),
        ("a", "a"),
        (1.5, 1.5),
        (2**64, "18446744073709551616"),
        (float("nan"), None),
        (float("-inf"), None),
        (np.float64("nan"), None),
        (np.float64(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(90, "s"), "PT90S"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2026-01-02 03:04"), "2026-01-02T03:04:00"),
        (pd.Timedelta("1h"), "PT3600S"),
        (Decimal("1.10"), "1.10"),
        (Decimal("NaN"), None),
        (Decimal("-Infinity"), None),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (time(3, 4), "03:04:00"),
        (timedelta(seconds=1.5), "PT1.5S"),
        (timedelta(0), "PT0S"),
        (b"\xff\x00", "/wA="),
        (bytearray(b"a"), "YQ=="),
        (Colour.RED, "red"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a/b"), "/a/b"),
        ({"a": {1: float("inf")}}, {"a": {"1": None}}),
        (UserDict({"a": 1}), {"a": 1}),
        ((1, [2, {3}]), [1, [2, [3]]]),
        (Pair(1, 2), [1, 2]),
        (Order(1, date(2026, 1, 2)), {"number": 1, "when": "2026-01-02"}),
        (Point(x=1), {"x": 1, "token": "**********"}),
        ("caf\udce9", "caf\\udce9"),
        (3 + 4j, "(3+4j)"),
    ],
)
def test_a_cell_becomes_what_json_can_hold(cell: Any, kept: Any) -> None:
    found = plain(cell)
    assert found == kept
    assert type(found) is type(kept)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("cell", [HOLDS_ITSELF, {"a": HOLDS_ITSELF}])
def test_a_cell_that_holds_itself_is_refused(cell: Any) -> None:
    with pytest.raises(ValueError, match=f"deeper than {MAX_DEPTH}"):
        plain(cell)


def rows_of_sqlite(as_row: bool) -> list[Any]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row if as_row else None
    return connection.execute("select 1 as a, 'x' as b").fetchall()


RECORDS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
FRAME = pd.DataFrame(RECORDS)


@pytest.mark.parametrize(
    ("given", "shape", "columns", "rows"),
    [
        (RECORDS, "records", ["a", "b"], [[1, "x"], [2, "y"]]),
        ([{"b": 1}, {"a": 2}], "records", ["b", "a"], [[1, None], [None, 2]]),
        ([OrderedDict(a=1)], "records", ["a"], [[1]]),
        ([[1, 2], [3]], "rows", ["0", "1"], [[1, 2], [3]]),
        ([(1, 2)], "rows", ["0", "1"], [[1, 2]]),
        ((row for row in RECORDS), "records", ["a", "b"], [[1, "x"], [2, "y"]]),
        ({"a": [1, 2], "b": ("x", "y")}, "columns", ["a", "b"], [[1, "x"], [2, "y"]]),
        ({"a": pd.Series([1, 2])}, "columns", ["a"], [[1], [2]]),
        ({"a": range(2)}, "columns", ["a"], [[0], [1]]),
        ({}, "columns", [], []),
        ([], "records", [], []),
        ([Pair(1, 2)], "records", ["left", "right"], [[1, 2]]),
        ([Order(1, date(2026, 1, 2))], "records", ["number", "when"], [[1, "2026-01-02"]]),
        ([Point(x=1)], "records", ["x", "token"], [[1, "**********"]]),
        (rows_of_sqlite(True), "records", ["a", "b"], [[1, "x"]]),
        (rows_of_sqlite(False), "rows", ["0", "1"], [[1, "x"]]),
        (FRAME, "records", ["a", "b"], [[1, "x"], [2, "y"]]),
        (FRAME.iloc[0:0], "records", ["a", "b"], []),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "records", ["a", "a (2)"], [[1, 2]]),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("x", 1)])), "records", ["x / 1"], [[1]]),
        (np.array([[1, 2], [3, 4]]), "rows", ["0", "1"], [[1, 2], [3, 4]]),
        ([{1: "a", None: "b"}], "records", ["1", "None"], [["a", "b"]]),
        ([{"a": float("nan")}, {"a": float("inf")}], "records", ["a"], [[None], [None]]),
    ],
)
def test_a_table_in_any_shape(given: Any, shape: str, columns: list[str], rows: list[Any]) -> None:
    table = table_of(given)
    assert (table.shape, table.columns) == (shape, columns)
    assert [list(row) for row in plain_rows(table.rows)] == rows


def test_frames_of_polars_and_arrow() -> None:
    for library, make in (("polars", "DataFrame"), ("pyarrow", "table")):
        module = pytest.importorskip(library)
        table = table_of(getattr(module, make)({"a": [1, None], "b": [date(2026, 1, 2), None]}))
        assert table.columns == ["a", "b"]
        assert list(plain_rows(table.rows)) == [[1, "2026-01-02"], [None, None]]


@pytest.mark.parametrize("given", [RECORDS, [[1, 2], [3]], {"a": [1, 2], "b": [3, 4]}, []])
def test_it_comes_back_in_the_shape_in_which_it_was_handed_in(given: Any) -> None:
    table = table_of(given)
    assert shaped(table.columns, list(plain_rows(table.rows)), table.shape) == given


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("a,b", TypeError, "str is no table"),
        (None, TypeError, "NoneType is no table"),
        (7, TypeError, "int is no table"),
        ([1, 2], TypeError, "row 0 of the table is int"),
        ([{"a": 1}, [2]], TypeError, "some rows of the table are dicts"),
        ({"a": "text"}, TypeError, "column 'a'"),
        ({"a": 7}, TypeError, "column 'a'"),
        ({"a": [1], "b": [1, 2]}, ValueError, "different lengths: 'a' 1, 'b' 2"),
        ([dict.fromkeys(map(str, range(1001)))], ValueError, "1,001 columns"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        table_of(given)


@pytest.mark.parametrize(
    "make", [lambda: {"a": range(4)}, lambda: [[1]] * 4, lambda: ([1] for _ in range(4)), lambda: FRAME.loc[[0] * 4]]
)
def test_too_many_rows_are_refused_with_the_limit(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 3)
    with pytest.raises(ValueError, match=r"more than 3 rows: .* or 64 MB"):
        table_of(make())


def test_too_many_bytes_are_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_BYTES", 10_000)
    with pytest.raises(ValueError, match="64 MB"):
        list(pack_rows("id", [["x" * 100]] * 1000))


def test_rows_are_packed_a_thousand_to_a_chunk() -> None:
    chunks = list(pack_rows("id", [[number, 2**70, "caf\udce9"] for number in range(2001)]))
    assert [count for _, count in chunks] == [1000, 1000, 1]
    assert read_rows("id", 2, chunks[2][0]) == [[2000, str(2**70), "caf\\udce9"]]


@pytest.mark.parametrize(
    "blob",
    [b"", b"x", b"\x01", b"\x01\xc1", b"\x02nonsense", b"\x01" + msgpack.packb({"a": 1}), b"\x01" + msgpack.packb([1])],
)
def test_damaged_rows_are_an_error_of_ours(blob: bytes) -> None:
    with pytest.raises(contents.SerializationError, match=r"cannot be read|damaged"):
        read_rows("id", 0, blob)


def test_mixed_cells_have_an_order_and_empty_ones_come_last_in_both() -> None:
    cells = ["b", None, 3, {"k": 1}, True, "A", 1.5, None]
    keys = [(rank(cell), place) for place, cell in enumerate(cells)]
    assert [cells[place] for place in ordered(keys, False)] == [True, 1.5, 3, "A", "b", {"k": 1}, None, None]
    assert [cells[place] for place in ordered(keys, True)] == [{"k": 1}, "b", "A", 3, 1.5, True, None, None]


def test_cells_are_shown_as_text() -> None:
    assert [cell_text(cell) for cell in ("a", 1, False, None, ["ü"])] == ["a", "1", "false", "", '["ü"]']
    assert Wanted().text == ""
