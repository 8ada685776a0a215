"""Whether two pandas frames are the same in everything that a program could notice, types of single values included."""

from __future__ import annotations

from typing import Any


def is_same_pandas(one: Any, other: Any) -> bool:
    """Whether two data frames have the same columns, index, types and values."""
    if (
        one.shape != other.shape
        or not _same_index(one.columns, other.columns)
        or not _same_index(one.index, other.index)
    ):
        return False
    return all(_same_values(one.iloc[:, at], other.iloc[:, at]) for at in range(one.shape[1]))


def _same_index(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or len(one) != len(other) or list(one.names) != list(other.names):
        return False
    if list(map(type, one.names)) != list(map(type, other.names)):
        return False
    if getattr(one, "freq", None) != getattr(other, "freq", None):
        return False
    if one.nlevels > 1:
        levels = all(_same_index(one.levels[at], other.levels[at]) for at in range(one.nlevels))
        return levels and bool(one.equals(other))
    return _same_values(one, other)


def _same_values(one: Any, other: Any) -> bool:
    """Of two series or indexes of equal length."""
    if one.dtype != other.dtype or type(one.dtype) is not type(other.dtype):
        return False
    kind = str(one.dtype)
    if kind == "category":
        same = _same_index(one.dtype.categories, other.dtype.categories) and one.dtype.ordered == other.dtype.ordered
        return same and bool(one.equals(other))
    if kind != "object":
        return bool(one.equals(other))
    return all(map(_same_object, one, other))


_PLAIN = (str, bytes, bool, int, float, type(None))


def _same_object(one: Any, other: Any) -> bool:
    """Of the values of an object column: plain ones only, everything else could differ in ways nobody sees here."""
    if type(one) is not type(other) or type(one) not in _PLAIN:
        return False
    return bool(one == other) or (one != one and other != other)
