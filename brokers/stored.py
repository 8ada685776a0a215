"""What stands in the store, read with care: a value that somebody damaged costs only what it describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def text(value: object) -> str:
    """A text to be shown or looked up; what is not UTF-8 is replaced, so it finds nothing.

    >>> text(b"caf\\xc3\\xa9"), text(b"\\xff"), text(None)
    ('café', '\ufffd', '')
    """
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def text_or_none(value: object) -> str | None:
    """The same; ``None`` where there is nothing."""
    return text(value) or None


def exact(value: bytes) -> str:
    """A name that goes back to the store, where it has to be the same bytes again (see ``pack``)."""
    return value.decode("utf-8", "surrogateescape")


def whole(value: object) -> int:
    """A counter; 0 where it is no number.

    >>> whole(b"12"), whole(b"x"), whole(None)
    (12, 0, 0)
    """
    return int(number(value) or 0)


def number(value: object) -> float | None:
    """A moment, or another number that may be missing.

    >>> number(b"1.5"), number(b"nan"), number(b"x")
    (1.5, None, None)
    """
    if not isinstance(value, bytes | str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def seconds(milliseconds: object) -> float | None:
    """A moment in unix seconds, of one in milliseconds; ``None`` where there is none that a calendar knows."""
    found = number(milliseconds)
    return found / 1000 if found and 0 < found < 1e14 else None


def table(row: Sequence[Any] | None) -> dict[bytes, bytes]:
    """The fields of a hash, of the flat row in which they come."""
    return {row[at]: row[at + 1] for at in range(0, len(row) - 1, 2)} if row else {}
