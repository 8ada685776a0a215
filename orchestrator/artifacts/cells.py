"""A cell of a table as JSON can hold it: what has no such form becomes text, what is no number becomes null.

Pure: nothing here knows the store. pandas, numpy, polars and Arrow values are recognised by what they can do; none of
these libraries is imported.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from orchestrator.serializers.texts import fit_text

MAX_DEPTH: Final = 32
AS_THEY_ARE: Final = frozenset((int, bool, type(None)))
_LARGEST: Final = 2**63


def plain(value: Any, depth: int = 0) -> Any:
    """The value that is kept of a cell.

    Args:
        value: NaN, infinity, NaT and NA become ``None``; dates, times and durations text in ISO 8601; Decimals, UUIDs,
            paths and integers beyond 64 bits text; bytes base64; enums their value; models, data classes, sets and
            arrays what they hold; anything else ``str()`` of it.
        depth: how deep it lies in the cell.

    Raises:
        ValueError: it is nested deeper than 32 levels, or holds itself.

    >>> plain(float("nan")), plain(Decimal("1.10")), plain(b"abc"), plain({1: (date(2026, 1, 2), timedelta(minutes=1))})
    (None, '1.10', 'YWJj', {'1': ['2026-01-02', 'PT60S']})
    """
    kind = type(value)
    if kind in AS_THEY_ARE:
        return value if kind is not int or -_LARGEST <= value < _LARGEST else str(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str:
        return fit_text(value)
    if depth >= MAX_DEPTH:
        raise ValueError(f"a cell is nested deeper than {MAX_DEPTH} levels, or holds itself")
    if kind is dict:
        return {fit_text(key): plain(one, depth + 1) for key, one in value.items()}
    if kind is list or kind is tuple:
        return [plain(one, depth + 1) for one in value]
    return _special(value, depth)


def _special(value: Any, depth: int) -> Any:
    if isinstance(value, Enum):
        return plain(value.value, depth + 1)
    if isinstance(value, int | float | str):  # of a class of their own: numpy's float64 is a float
        base = next(base for base in (int, float, str) if isinstance(value, base))
        return plain(base(value), depth + 1)
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, date | time | timedelta):
        return _moment(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping):
        return {fit_text(key): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | Set):
        return [plain(one, depth + 1) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name), depth + 1) for one in dataclasses.fields(value)}
    return _foreign(value, depth)


def _moment(value: date | time | timedelta) -> str | None:
    if value != value:  # pandas' NaT is a datetime
        return None
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "S"
    return value.isoformat()


def _foreign(value: Any, depth: int) -> Any:
    """A value of a library."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if callable(dump := getattr(value, "model_dump", None)) and not isinstance(value, type):
        return plain(dump(mode="json"), depth + 1)
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind == "M":  # numpy's moments know nanoseconds, Python's do not
        text = str(value)
        return None if text == "NaT" else text
    if kind == "m":
        return _moment(value.astype("timedelta64[us]").item()) if str(value) != "NaT" else None
    if kind is not None and callable(to_list := getattr(value, "tolist", None)):
        found = to_list()
        return plain(found, depth + 1) if type(found) is not type(value) else fit_text(value)
    return fit_text(value)
