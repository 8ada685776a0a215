"""Enum members, named tuples, and instances of subclasses of ``str``, ``list``, ``dict`` and their like.

All travel as a name and a plain value; who does not know the name gets the plain value. No ``__init__`` or ``__new__``
of a subclass runs (that of a dict does not either), and what is in the instance's ``__dict__`` comes along.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ENUM, NAMEDTUPLE, PICKLE, SUBCLASS, ExtType

_EVERYTHING = slice(None)

# How to take the plain value out of a subclass without running its code. An OrderedDict knows its order better than
# the dict inside it.
_PLAIN_VALUE: dict[type, Callable[[Any], Any]] = {
    OrderedDict: dict,
    dict: dict,
    list: list.copy,
    set: set,
    frozenset: frozenset,
    tuple: lambda value: tuple.__getitem__(value, _EVERYTHING),
    str: lambda value: str.__getitem__(value, _EVERYTHING),
    bytes: lambda value: bytes.__getitem__(value, _EVERYTHING),
    int: int.__index__,
    float: float.__float__,
}


def find(cls: type) -> Writer | None:
    """The writer of an enum, a named tuple or a subclass of a plain type."""
    if issubclass(cls, Enum):
        return _writer(cls, ENUM, lambda member: [member._value_])
    if known_types.is_namedtuple(cls):
        return _writer(cls, NAMEDTUPLE, lambda value: [list(tuple.__iter__(value))])
    base = _base_of(cls)
    return None if base is None else _writer(cls, SUBCLASS, _value_and_attributes(_PLAIN_VALUE[base]))


def _writer(cls: type, code: int, parts: Callable[[Any], list[Any]]) -> Writer:
    name = known_types.name_of(cls)

    def write(obj: Any, packing: Packing) -> object:
        if packing.key_ring is not None and not known_types.is_known(cls):
            return ExtType(PICKLE, packing.pickled(obj))
        return ExtType(code, packing.pack([name, *parts(obj)]))

    return write


def _value_and_attributes(plain_value: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def parts(obj: Any) -> list[Any]:
        attributes = getattr(obj, "__dict__", None)
        return [plain_value(obj), dict(attributes)] if attributes else [plain_value(obj)]

    return parts


def _base_of(cls: type) -> type | None:
    """The plain type that a class can be built as; ``None`` for classes with more in them, such as a defaultdict's."""
    for base in _PLAIN_VALUE:
        if issubclass(cls, base):
            try:
                base.__new__(cls)  # type: ignore[call-overload]
            except TypeError:
                return None
            return base
    return None


def _read_enum(data: bytes, reading: Reading) -> Any:
    name, value = reading.unpack_list(data, 2)[:2]
    cls = known_types.find(name)
    if cls is None or not issubclass(cls, Enum):
        return value
    try:
        return cls(value)
    except ValueError as error:
        raise SerializationError(f"{name} has no such member here: {error}") from None


def _read_namedtuple(data: bytes, reading: Reading) -> Any:
    name, values = reading.unpack_list(data, 2)[:2]
    cls: Any = known_types.find(name)
    if cls is None or not known_types.is_namedtuple(cls):
        return tuple(values)
    missing = cls._fields[len(values) :]
    try:
        return tuple.__new__(cls, [*values[: len(cls._fields)], *(cls._field_defaults[field] for field in missing)])
    except KeyError as error:
        raise SerializationError(f"{name} has a new field {error} without a default") from None


def _read_subclass(data: bytes, reading: Reading) -> Any:
    name, value, *more = reading.unpack_list(data, 2)
    cls = known_types.find(name)
    base = None if cls is None else _base_of(cls)
    if cls is None or base is None or not isinstance(value, dict if base is OrderedDict else base):
        return value
    obj = _filled(base, cls, value)
    if more and isinstance(more[0], dict):
        obj.__dict__.update(more[0])
    return obj


def _filled(base: Any, cls: type, value: Any) -> Any:
    if base is list:
        obj: Any = list.__new__(cls)
        list.extend(obj, value)
    elif base in (dict, set, OrderedDict):
        obj = base.__new__(cls)
        base.update(obj, value)
    else:
        obj = base.__new__(cls, value)
    return obj


readers[ENUM] = _read_enum
readers[NAMEDTUPLE] = _read_namedtuple
readers[SUBCLASS] = _read_subclass
