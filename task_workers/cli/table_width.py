"""Fits a table to a terminal: columns are dropped in a given order; the first, which has the ids, stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

GAP: Final = 2  # columns of the terminal between two of the table
MIN_LAST_WIDTH: Final = 16  # the last column is cropped to this before others go
MIN_WIDTH: Final = 8  # and the others to this, when all is dropped that may be

Table = tuple[list[str], list[list[str]]]


def fit_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, drop: Sequence[str] = ()) -> Table:
    """Heads and rows of a table at most ``width`` wide, if that is possible without cropping its first column.

    >>> fit_table(("RUN", "QUEUE", "MESSAGE"), [("0199f1c2", "default", "a long message of a task")], 30, ("QUEUE",))
    (['RUN', 'MESSAGE'], [['0199f1c2', 'a long message of a…']])
    """
    heads, kept = list(heads), [list(row) for row in rows]
    for head in drop:
        if _least_width(heads, kept) <= width:
            break
        if head in heads:
            at = heads.index(head)
            heads.pop(at)
            for row in kept:
                row.pop(at)
    return heads, _cropped(heads, kept, width)


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[at]) for line in [heads, *rows]) for at in range(len(heads))]


def _least_width(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = _widths(heads, rows)
    if len(widths) > 1:
        widths[-1] = min(widths[-1], max(MIN_LAST_WIDTH, len(heads[-1])))
    return sum(widths) + GAP * (len(widths) - 1)


def _cropped(heads: Sequence[str], rows: list[list[str]], width: int) -> list[list[str]]:
    widths = _widths(heads, rows)
    for at in [len(heads) - 1, *sorted(range(1, len(heads) - 1), key=lambda at: -widths[at])]:
        over = sum(widths) + GAP * (len(widths) - 1) - width
        if over <= 0 or at == 0:
            break
        widths[at] = max(widths[at] - over, min(widths[at], max(MIN_WIDTH, len(heads[at]))))
    return [[_crop(cell, size) for cell, size in zip(row, widths, strict=True)] for row in rows]


def _crop(cell: str, size: int) -> str:
    return cell if len(cell) <= size else cell[: size - 1] + "…"
