"""Enum members, named tuples, and instances of subclasses of ``str``, ``list``, ``dict`` and their like.

All travel as a name and a plain value. No ``__init__`` or ``__new__`` of a subclass runs (that of a dict does not
either), and the attributes of the instance come along.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, Flag
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers import known_types
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.naming import (
    as_pickle,
    attributes_of,
    goes_by_name,
    is_written_in_python,
    put_attributes,
)
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ENUM, NAMEDTUPLE, SUBCLASS, ExtType

_EVERYTHING = slice(None)
_LIST_OF_THREE = b"\x93"  # in msgpack
_NIL = b"\xc0"

# How to take the plain value out of a subclass without running its code. An OrderedDict knows its order better than
# the dict inside it.
_PLAIN_VALUE: dict[type, Callable[[Any], Any]] = {
    OrderedDict: lambda value: dict(OrderedDict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    list: list.copy,
    set: set,
    frozenset: frozenset,
    tuple: lambda value: tuple.__getitem__(value, _EVERYTHING),
    str: lambda value: str.__getitem__(value, _EVERYTHING),
    bytes: lambda value: bytes.__getitem__(value, _EVERYTHING),
    int: int.__index__,
    float: float.__float__,
}

# Other classes that are written in C hold more than the plain value and the attributes.
_BUILT_OF_PARTS = {*_PLAIN_VALUE, object}


def find(cls: type) -> Writer | None:
    """The writer of an enum, a named tuple or a subclass of a plain type."""
    if issubclass(cls, Enum):
        return _enum_writer(cls)
    if known_types.is_namedtuple(cls):
        return _writer(cls, NAMEDTUPLE, _value_and_attributes(lambda value: list(tuple.__iter__(value))))
    has_more = any(not is_written_in_python(above) and above not in _BUILT_OF_PARTS for above in cls.__mro__)
    base = None if has_more else _base_of(cls)
    return None if base is None else _writer(cls, SUBCLASS, _value_and_attributes(_PLAIN_VALUE[base]))


def _writer(cls: type, code: int, parts: Callable[[Any], list[Any]]) -> Writer:
    name = known_types.name_of(cls)

    def write(obj: Any, packing: Packing) -> object:
        if not goes_by_name(cls, packing):
            return as_pickle(obj, packing)
        return ExtType(code, packing.pack([name, *parts(obj)]))

    return write


def _value_and_attributes(plain_value: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def parts(obj: Any) -> list[Any]:
        attributes = attributes_of(obj)
        return [plain_value(obj), attributes] if attributes else [plain_value(obj)]

    return parts


def _enum_writer(cls: type[Enum]) -> Writer:
    """Members travel by their name; those of flags, which may be several at once, by their number.

    The value goes along where it can be packed as plain data, for readers that know members by it (0.1) and for
    enums whose members were renamed.
    """
    name = known_types.name_of(cls)

    def write(member: Any, packing: Packing) -> object:
        if not goes_by_name(cls, packing):
            return as_pickle(member, packing)
        if isinstance(member, Flag):
            return ExtType(ENUM, packing.pack([name, member._value_]))
        value = packing.pack_plain(member._value_)
        parts = (packing.pack(name), _NIL if value is None else value, packing.pack(member._name_))
        return ExtType(ENUM, _LIST_OF_THREE + b"".join(parts))

    return write


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
    name, value, member = (*reading.unpack_list(data, 2)[:3], None)[:3]
    cls: Any = reading.class_of(name)
    if cls is None:
        return value
    if not issubclass(cls, Enum):
        raise SerializationError(f"{name} is no enum here")
    if isinstance(member, str) and member in cls.__members__:
        return cls.__members__[member]
    try:
        return cls(value)
    except ValueError as error:
        raise SerializationError(f"{name} has no such member here: {error}") from None


def _read_namedtuple(data: bytes, reading: Reading) -> Any:
    name, values, *more = reading.unpack_list(data, 2)
    cls: Any = reading.class_of(name)
    if cls is None:
        return tuple(values)
    if not known_types.is_namedtuple(cls) or type(values) is not list:
        raise SerializationError(f"{name} is no named tuple here")
    missing = cls._fields[len(values) :]
    try:
        obj = tuple.__new__(cls, [*values[: len(cls._fields)], *(cls._field_defaults[field] for field in missing)])
    except KeyError as error:
        raise SerializationError(f"{name} has a new field {error} without a default") from None
    return _with_attributes(obj, more)


def _read_subclass(data: bytes, reading: Reading) -> Any:
    name, value, *more = reading.unpack_list(data, 2)
    cls = reading.class_of(name)
    if cls is None:
        return value
    base = _base_of(cls)
    if base is None or not isinstance(value, dict if base is OrderedDict else base):
        raise SerializationError(f"{name} is a class of another kind here than where it was sent")
    return _with_attributes(_filled(base, cls, value), more)


def _with_attributes(obj: Any, more: list[Any]) -> Any:
    if more and isinstance(more[0], dict):
        put_attributes(obj, more[0])
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
