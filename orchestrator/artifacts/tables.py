"""Tables as people hand them in, made columns and rows of plain values. Pure: nothing here knows the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple

from orchestrator.artifacts.cells import AS_THEY_ARE, plain
from orchestrator.serializers.texts import fit_text

Shape = Literal["records", "rows", "columns"]
MAX_ROWS: Final = 1_000_000
MAX_COLUMNS: Final = 1_000
_KINDS: Final = (
    "a table is a dict of columns, a list of dicts, a list of lists, or a data frame of pandas, polars or Arrow"
)


class Table(NamedTuple):
    """A table whose rows are still to be made plain.

    Attributes:
        columns: their names; of a list of lists their numbers, from 0 on.
        rows: the cells of each row; a shorter one ends early.
        shape: in which it was handed in: a list of dicts, a list of lists, a dict of columns.
    """

    columns: list[str]
    rows: Sequence[Sequence[Any]]
    shape: Shape


def table_of(value: Any) -> Table:
    """The table that somebody hands in.

    Args:
        value: a dict of columns, a list (or another iterable) of dicts, lists, tuples, named tuples, data classes or
            rows of a database, or a data frame of pandas, polars or Arrow.

    Raises:
        TypeError: it is none of these. ValueError: it is too large, or its columns have different lengths.

    >>> table_of([{"a": 1}, {"a": 2, "b": 3}])
    Table(columns=['a', 'b'], rows=[[1, None], [2, 3]], shape='records')
    >>> table_of({"a": [1, 2]})
    Table(columns=['a'], rows=[(1,), (2,)], shape='columns')
    """
    if isinstance(value, Mapping):
        table = _of_columns(value)
    elif isinstance(value, str | bytes) or value is None:
        raise TypeError(f"{type(value).__name__} is no table: {_KINDS}")
    else:
        table = _of_frame(value) or _of_rows(value)
    if len(table.columns) > MAX_COLUMNS:
        raise ValueError(f"the table has {len(table.columns):,} columns, an artifact holds at most {MAX_COLUMNS:,}")
    return table


def plain_rows(rows: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
    """Rows whose cells JSON can hold, but for texts that no encoding carries and integers beyond 64 bits.

    See :func:`orchestrator.artifacts.cells.plain`; what needs no look at its value is passed on.
    """
    as_they_are = AS_THEY_ARE | {str}
    for row in rows:
        yield [
            cell if (kind := type(cell)) in as_they_are or (kind is float and cell - cell == 0) else plain(cell)
            for cell in row
        ]


def shaped(columns: Sequence[str], rows: Sequence[Sequence[Any]], shape: str) -> Any:
    """A table in the shape in which it was handed in.

    >>> shaped(["a"], [[1], [2]], "records"), shaped(["a"], [[1], [2]], "columns")
    ([{'a': 1}, {'a': 2}], {'a': [1, 2]})
    """
    if shape == "rows":
        return [list(row) for row in rows]
    if shape == "columns":
        return {name: [row[at] if at < len(row) else None for row in rows] for at, name in enumerate(columns)}
    return [dict(zip(columns, row, strict=False)) for row in rows]


def check_length(count: int) -> None:
    """Raises ValueError: a table of so many rows is not kept."""
    if count > MAX_ROWS:
        raise ValueError(
            f"the table has more than {MAX_ROWS:,} rows: an artifact holds at most {MAX_ROWS:,} rows or 64 MB. Write "
            "it to a file and leave a link, or a part of it"
        )


def _of_columns(value: Mapping[Any, Any]) -> Table:
    names = _names(value)
    columns = [_cells_of(name, cells) for name, cells in zip(names, value.values(), strict=True)]
    lengths = {name: len(cells) for name, cells in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} {count:,}" for name, count in list(lengths.items())[:5])
        raise ValueError(f"the columns of the table have different lengths: {found}")
    check_length(max(lengths.values(), default=0))
    return Table(names, list(zip(*columns, strict=True)), "columns")


def _cells_of(name: str, cells: Any) -> list[Any]:
    if isinstance(cells, str | bytes | Mapping) or not isinstance(cells, Iterable):
        raise TypeError(f"column {name!r} of the table is no list of cells but {type(cells).__name__}: {_KINDS}")
    return list(cells)


def _of_frame(frame: Any) -> Table | None:
    """A data frame, known by what it can do; ``None``: it is none."""
    if isinstance(frame, type) or not hasattr(frame, "columns"):
        return _of_rows(frame.tolist()) if _is_array(frame) else None
    if callable(getattr(frame, "itertuples", None)):  # pandas
        check_length(len(frame))
        return Table(_names(frame.columns), list(frame.itertuples(index=False, name=None)), "records")
    if callable(getattr(frame, "iter_rows", None)):  # polars
        check_length(len(frame))
        return Table(_names(frame.columns), list(frame.iter_rows()), "records")
    if callable(getattr(frame, "to_pylist", None)) and hasattr(frame, "column_names"):  # Arrow
        check_length(len(frame))
        columns = [column.to_pylist() for column in frame.columns]
        return Table(_names(frame.column_names), list(zip(*columns, strict=True)), "records")
    if callable(getattr(frame, "collect", None)):
        raise TypeError(f"{type(frame).__name__} is not computed yet: call collect() first")
    return None


def _is_array(value: Any) -> bool:
    return callable(getattr(value, "tolist", None)) and getattr(value, "ndim", 0) == 2


def _of_rows(value: Any) -> Table:
    if callable(records := getattr(value, "to_dict", None)):
        value = records("records")
    if not isinstance(value, Iterable):
        raise TypeError(f"{type(value).__name__} is no table: {_KINDS}")
    rows: list[Any] = []
    if isinstance(value, list) and all(type(row) is dict for row in value):
        check_length(len(value))
        rows = value
    else:
        for row in value:
            check_length(len(rows) + 1)
            rows.append(_row_of(row, len(rows)))
    if not rows:
        return Table([], [], "records")
    if all(isinstance(row, Mapping) for row in rows):
        return _of_records(rows)
    if any(isinstance(row, Mapping) for row in rows):
        raise TypeError("some rows of the table are dicts and others are lists: make them all the same")
    width = max(map(len, rows))
    return Table([str(number) for number in range(width)], rows, "rows")


def _row_of(row: Any, number: int) -> Mapping[Any, Any] | list[Any]:
    if isinstance(row, dict):
        return row
    if hasattr(row, "_fields") and callable(
        as_dict := getattr(row, "_asdict", None)
    ):  # named tuples, rows of SQLAlchemy
        return dict(as_dict())
    if isinstance(row, Mapping):
        return row
    if isinstance(row, list | tuple):
        return list(row)
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if callable(dump := getattr(row, "model_dump", None)) and not isinstance(row, type):
        return dict(dump())
    if callable(keys := getattr(row, "keys", None)) and not isinstance(row, type):  # sqlite3.Row
        return {key: row[key] for key in keys()}
    raise TypeError(f"row {number} of the table is {type(row).__name__}, neither a dict nor a list")


def _of_records(rows: Sequence[Mapping[Any, Any]]) -> Table:
    first = list(rows[0])
    if len(first) > 1 and all(type(row) is dict and len(row) == len(first) for row in rows):
        with suppress(KeyError):
            return Table(_names(first), list(map(itemgetter(*first), rows)), "records")
    keys: dict[Any, None] = {}
    for row in rows:
        keys.update(dict.fromkeys(row))
        if len(keys) > MAX_COLUMNS:
            break
    return Table(_names(keys), [[row.get(key) for key in keys] for row in rows], "records")


def _names(keys: Iterable[Any]) -> list[str]:
    """The names of columns, each once.

    >>> _names(["a", "a", ("b", 1)])
    ['a', 'a (2)', 'b / 1']
    """
    found: dict[str, None] = {}
    for key in keys:
        name = " / ".join(map(fit_text, key)) if isinstance(key, tuple) else fit_text(key)
        number, wanted = 1, name
        while name in found:
            number += 1
            name = f"{wanted} ({number})"
        found[name] = None
    return list(found)
