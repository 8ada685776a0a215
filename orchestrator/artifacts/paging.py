"""Pages of large tables: sorted by a column, or of those rows that hold a text. Sorting and matching are pure."""

from __future__ import annotations

import json
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from brokers.base import Broker
from orchestrator.artifacts.contents import ROWS_PER_CHUNK
from orchestrator.artifacts.reading import chunks_of, rows_at
from orchestrator.artifacts.record import ArtifactRecord

_SCANS: Final = threading.BoundedSemaphore(2)  # whole tables that are looked through at once in this process


class RowsPage(NamedTuple):
    """Some rows of a table: ``total`` is how many match, ``places`` where each stands in the whole table, from 0."""

    total: int
    rows: list[list[Any]]
    places: list[int]


class Wanted(NamedTuple):
    """Which rows, and in which order.

    Attributes:
        column: by which they are sorted, its place among the columns; ``None``: as they were handed in.
        descending: the largest first; empty cells are last in both orders.
        text: only rows in which a cell holds this, any case; empty: all.
        text_column: only this column is looked at, by its place; ``None``: all are.
    """

    column: int | None = None
    descending: bool = False
    text: str = ""
    text_column: int | None = None


AS_IT_IS: Final = Wanted()


class _Orders:
    """The places of rows that were looked for lately: further pages of them cost nothing, as tables never change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Wanted], array[int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, artifact_id: str, wanted: Wanted) -> array[int] | None:
        with self._lock:
            if (found := self._kept.get((artifact_id, wanted))) is not None:
                self._kept.move_to_end((artifact_id, wanted))
            return found

    def keep(self, artifact_id: str, wanted: Wanted, places: Sequence[int]) -> array[int]:
        made = array("I", places)
        with self._lock:
            self._kept[artifact_id, wanted] = made
            while len(self._kept) > _MAX_ORDERS:
                self._kept.popitem(last=False)
        return made


_MAX_ORDERS: Final = 8  # of up to 4 MB each
_ORDERS: Final = _Orders()


def page_of(broker: Broker, record: ArtifactRecord, offset: int, limit: int, wanted: Wanted = AS_IT_IS) -> RowsPage:
    """A page of a table's rows.

    Args:
        broker: where it is kept.
        record: of the table.
        offset: how many of the matching rows are passed over.
        limit: how many at most.
        wanted: which, in which order; unless given all, as they were handed in.

    Raises:
        SerializationError: rows of it are damaged, or not to be read here. BrokerError: the server does not answer.
    """
    total = record.table.rows if record.table is not None else 0
    if wanted.column is None and not wanted.text:
        places = list(range(offset, max(offset, min(offset + limit, total))))
        return RowsPage(total, rows_at(broker, record, places), places)
    found = _ORDERS.get(str(record.id), wanted)
    if found is None:
        with _SCANS:
            found = _ORDERS.keep(str(record.id), wanted, _scan(broker, record, wanted))
    places = list(found[offset : offset + limit])
    return RowsPage(len(found), rows_at(broker, record, places), places)


def _scan(broker: Broker, record: ArtifactRecord, wanted: Wanted) -> list[int]:
    """The places of all rows that match, in order."""
    fits = _fits(wanted)
    keys: list[tuple[tuple[int, Any], int]] = []
    places: list[int] = []
    for number, rows in enumerate(chunks_of(broker, record)):
        first = number * ROWS_PER_CHUNK
        here = [at for at, row in enumerate(rows) if fits(row)] if fits is not None else range(len(rows))
        if wanted.column is None:
            places += [first + at for at in here]
        else:
            column = wanted.column
            keys += [(rank(rows[at][column] if column < len(rows[at]) else None), first + at) for at in here]
    return ordered(keys, wanted.descending) if wanted.column is not None else places


def ordered(keys: Sequence[tuple[tuple[int, Any], int]], descending: bool) -> list[int]:
    """Places by their ranks; equal ones stay in the order in which they stand, those without a value come last.

    >>> ordered([(rank(2), 0), (rank(None), 1), (rank(1), 2), (rank(2), 3)], descending=True)
    [0, 3, 2, 1]
    """
    filled = [pair for pair in keys if pair[0][0] != _EMPTY]
    filled.sort(key=lambda pair: pair[0], reverse=descending)  # stable in both directions
    return [place for _, place in filled] + [place for key, place in keys if key[0] == _EMPTY]


_EMPTY: Final = 9
_BETWEEN: Final = "\n\x00\n"  # nobody looks for it, so that no match goes from one cell into the next


def rank(cell: Any) -> tuple[int, Any]:
    """By what a cell is sorted: numbers, then texts, then what holds others; false is 0 and true 1.

    >>> sorted(["b", 10, 9, "A", True], key=rank)
    [True, 9, 10, 'A', 'b']
    """
    kind = type(cell)
    if kind is int or kind is float or kind is bool:
        return (0, cell)
    if kind is str:
        return (1, cell.casefold())
    return (_EMPTY, "") if cell is None else (2, json.dumps(cell, sort_keys=True, default=str))


def _fits(wanted: Wanted) -> Callable[[Sequence[Any]], bool] | None:
    if not wanted.text:
        return None
    text, only = wanted.text.casefold(), wanted.text_column

    def fits(row: Sequence[Any]) -> bool:
        cells = row if only is None else row[only : only + 1]
        shown = _BETWEEN.join([cell if type(cell) is str else cell_text(cell) for cell in cells])
        return text in shown.casefold()

    return fits


def cell_text(cell: Any) -> str:
    """A cell as people see it.

    >>> cell_text(None), cell_text(True), cell_text(1.5), cell_text({"a": [1]})
    ('', 'true', '1.5', '{"a": [1]}')
    """
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if type(cell) is int or type(cell) is float:
        return repr(cell)
    return json.dumps(cell, ensure_ascii=False, default=str)
