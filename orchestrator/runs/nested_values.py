"""Values inside values: lists, tuples, sets, dicts, dataclasses and pydantic models, at any depth."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Final

_BUILT_IN: Final = frozenset((list, tuple, set, frozenset, dict, str, int, float, bool, bytes, type(None)))


def replace_nested(value: Any, replace: Callable[[Any], Any]) -> Any:
    """A value in which every part that ``replace`` answers differently for has been replaced.

    ``replace`` gets every part before its own parts are looked at, and returns it unchanged to let them be. What does
    not change is the same object as before; what contains a change is a copy. Keys of dicts are parts, too. A
    value that contains itself is gone through once, and a record of a run (``describes_a_run``) not at all: the state
    in it is a part of the record, and stands for no result.

    >>> replace_nested({"a": [1, "x"]}, lambda part: 2 if part == "x" else part)
    {'a': [1, 2]}
    """
    return _replaced(value, replace, set())


def _replaced(value: Any, replace: Callable[[Any], Any], above: set[int]) -> Any:
    answer = replace(value)
    if answer is not value:
        return answer
    kind = type(value)
    if kind not in _BUILT_IN and getattr(kind, "describes_a_run", False):
        return value
    if isinstance(value, list | tuple | set | frozenset | dict):
        names = None
    else:
        names = field_names(value)
        if not names:
            return value
    if id(value) in above:  # it contains itself: that part stays as it is
        return value
    above.add(id(value))
    try:
        if names is not None:
            return _in_fields(value, names, replace, above)
        return _in_dict(value, replace, above) if isinstance(value, dict) else _in_members(value, replace, above)
    finally:
        above.discard(id(value))


def _in_dict(value: dict[Any, Any], replace: Callable[[Any], Any], above: set[int]) -> Any:
    changed = {
        key if type(key) is str else _replaced(key, replace, above): _replaced(member, replace, above)
        for key, member in value.items()
    }
    if len(changed) == len(value) and all(
        new is key and changed[new] is value[key] for new, key in zip(changed, value, strict=True)
    ):
        return value
    return changed


def _in_members(value: Any, replace: Callable[[Any], Any], above: set[int]) -> Any:
    before = list(value)
    after = [_replaced(member, replace, above) for member in before]
    if all(one is other for one, other in zip(before, after, strict=True)):
        return value
    kind = type(value)
    if hasattr(kind, "_fields"):  # a named tuple
        return kind(*after)
    return kind(after) if kind in (tuple, set, frozenset) else after


def field_names(value: Any) -> list[str]:
    """The fields of a dataclass or model; none for other values."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return list(getattr(kind, "__pydantic_fields__", ()))


def _in_fields(value: Any, names: list[str], replace: Callable[[Any], Any], above: set[int]) -> Any:
    changes = {}
    for name in names:
        before = getattr(value, name, None)
        after = _replaced(before, replace, above)
        if after is not before:
            changes[name] = after
    if not changes:
        return value
    changed = copy.copy(value)
    for name, after in changes.items():
        object.__setattr__(changed, name, after)  # frozen ones too
    return changed
