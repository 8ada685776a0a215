"""Parametrized classes (``Box[int]``) as plain values: the name of the class and of what it is made for."""

from __future__ import annotations

import functools
import operator
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types

_CLASSES: Final = (
    *(int, float, complex, bool, str, bytes, list, dict, tuple, set, frozenset, object),
    *(date, datetime, time, timedelta, Decimal, UUID, Path),
)
_BUILTIN: Final[dict[str, Any]] = {cls.__name__: cls for cls in _CLASSES} | {"None": type(None), "Any": Any}
_UNION: Final = "|"
_MAX_PARTS: Final = 20
_MAX_DEPTH: Final = 8


def parameters_of(model: Any) -> tuple[type, tuple[Any, ...]] | None:
    """The class that a pydantic model was parametrized from, and with what; ``None`` for all others."""
    made = getattr(model, "__pydantic_generic_metadata__", None)
    return (made["origin"], made["args"]) if made and made["origin"] is not None else None


def written(annotation: Any, depth: int = 0) -> Any | None:
    """A type as text and lists; ``None`` if it cannot be written down."""
    if depth > _MAX_DEPTH:
        return None
    name = next((name for name, cls in _BUILTIN.items() if cls is annotation), None)  # some have no hash
    if name is not None:
        return name
    made = parameters_of(annotation)
    if made is None and isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return known_types.name_of(annotation) if known_types.is_known(annotation) else None
    origin, arguments = made or (typing.get_origin(annotation), typing.get_args(annotation))
    head = _UNION if origin in (typing.Union, types.UnionType) else origin and written(origin, depth + 1)
    parts = [written(part, depth + 1) for part in arguments]
    return None if head is None or not parts or None in parts else [head, parts]


def read(text: Any, find: Callable[[object], type | None], depth: int = 0) -> Any:
    """The type that was written.

    Raises:
        SerializationError: it names what is not here, or is no type.
    """
    if isinstance(text, str):
        return _BUILTIN[text] if text in _BUILTIN else find(text)
    if not (type(text) is list and len(text) == 2 and type(text[1]) is list and 0 < len(text[1]) <= _MAX_PARTS):
        raise SerializationError("a type in the body is none")
    if depth > _MAX_DEPTH:
        raise SerializationError("a type in the body is nested too deeply")
    head, parts = text
    arguments = tuple(read(part, find, depth + 1) for part in parts)
    if head == _UNION:
        return functools.reduce(operator.or_, arguments)
    made = read(head, find, depth + 1)
    if head not in _BUILTIN and not hasattr(made, "__pydantic_generic_metadata__"):  # others may run code of their own
        raise SerializationError(f"{head} in the body cannot be parametrized")
    return made[arguments]
