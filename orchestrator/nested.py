"""Values inside values: lists, tuples, sets, dicts, dataclasses and pydantic models, at any depth."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any


def replace_nested(value: Any, replace: Callable[[Any], Any]) -> Any:
    """A value in which every part that ``replace`` answers differently for has been replaced.

    ``replace`` gets every part before its own parts are looked at, and returns it unchanged to let them be. What does
    not change is the same object as before; what contains a change is a copy.

    >>> replace_nested({"a": [1, "x"]}, lambda part: 2 if part == "x" else part)
    {'a': [1, 2]}
    """
    answer = replace(value)
    if answer is not value:
        return answer
    if isinstance(value, list | tuple | set | frozenset):
        return _in_members(value, replace)
    if isinstance(value, dict):
        changed = {key: replace_nested(member, replace) for key, member in value.items()}
        return changed if any(changed[key] is not member for key, member in value.items()) else value
    names = _field_names(value)
    return _in_fields(value, names, replace) if names else value


def _in_members(value: Any, replace: Callable[[Any], Any]) -> Any:
    before = list(value)
    after = [replace_nested(member, replace) for member in before]
    if all(one is other for one, other in zip(before, after, strict=True)):
        return value
    kind = type(value)
    if hasattr(kind, "_fields"):  # a named tuple
        return kind(*after)
    return kind(after) if kind in (tuple, set, frozenset) else after


def _field_names(value: Any) -> list[str]:
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return list(getattr(kind, "__pydantic_fields__", ()))


def _in_fields(value: Any, names: list[str], replace: Callable[[Any], Any]) -> Any:
    changes = {}
    for name in names:
        before = getattr(value, name, None)
        after = replace_nested(before, replace)
        if after is not before:
            changes[name] = after
    if not changes:
        return value
    changed = copy.copy(value)
    for name, after in changes.items():
        object.__setattr__(changed, name, after)  # frozen ones too
    return changed
