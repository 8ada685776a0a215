"""One number for the content of any values: the same in every process, today and tomorrow.

Each value is written down canonically (a tag for its type, a length, its content) into one SHA-256. Nothing depends on
``PYTHONHASHSEED``, on the order in which a dict was filled or a set is walked, or on where objects lie in memory.
A new type is one writer function and one line in ``_WRITERS``.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import hashlib
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from orchestrator.errors import CacheKeyError

Write: TypeAlias = Callable[["_Scribe", Any], None]


def stable_hash(*objects: Any) -> str:
    """SHA-256 (64 hex digits) over the content of ``objects``.

    Dataclasses, pydantic models and other objects count by the name of their class and their fields, arrays and
    frames by their bytes and shape, functions by their code and what they close over. ``1``, ``1.0`` and ``True`` are
    different, so are ``[1]`` and ``(1,)``.

    Raises:
        CacheKeyError: a value has no stable content (a lock, a socket, an open file), or is nested too deeply.

    >>> stable_hash({"a": 1, "b": {2, 3}}) == stable_hash({"b": {3, 2}, "a": 1})
    True
    >>> stable_hash(1) == stable_hash(True)
    False
    """
    try:
        return _digest(objects, {}).hex()
    except RecursionError:
        raise CacheKeyError("the value is nested too deeply to be hashed") from None


def _digest(value: Any, path: dict[int, int]) -> bytes:
    scribe = _Scribe(path)
    scribe.write(value)
    return scribe.hash.digest()


class _Scribe:
    """Writes values into one hash. ``path`` knows the containers we are inside of, so that a cycle ends."""

    __slots__ = ("hash", "path")

    def __init__(self, path: dict[int, int]) -> None:
        self.hash = hashlib.sha256()
        self.path = path

    def write(self, value: Any) -> None:
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            self.leaf(leaf[0], leaf[1](value))
            return
        depth = self.path.get(id(value))
        if depth is not None:
            self.leaf("cycle", depth.to_bytes(8, "big"))
            return
        self.path[id(value)] = len(self.path)
        _writer_of(value)(self, value)
        del self.path[id(value)]

    def leaf(self, tag: str, content: bytes) -> None:
        self.hash.update(b"%s:%d:" % (tag.encode(), len(content)))
        self.hash.update(content)

    def sequence(self, tag: str, values: Iterable[Any]) -> None:
        members = list(values)
        self.leaf(tag, len(members).to_bytes(8, "big"))
        for member in members:
            self.write(member)

    def unordered(self, tag: str, values: Iterable[Any]) -> None:
        digests = sorted(_digest(member, self.path) for member in values)
        self.leaf(tag, b"".join(digests))


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


_LEAVES: Final[dict[type, tuple[str, Callable[[Any], bytes]]]] = {
    type(None): ("none", lambda _: b""),
    type(...): ("ellipsis", lambda _: b""),
    bool: ("bool", lambda value: b"1" if value else b"0"),
    int: ("int", lambda value: hex(value).encode()),
    float: ("float", struct.Struct(">d").pack),
    complex: ("complex", lambda value: struct.pack(">dd", value.real, value.imag)),
    str: ("str", _text),
    bytes: ("bytes", lambda value: value),
    bytearray: ("bytearray", bytes),
    datetime: ("datetime", lambda value: _text(f"{value.isoformat()} {value.tzinfo} {value.fold}")),
    date: ("date", lambda value: value.isoformat().encode()),
    time: ("time", lambda value: _text(f"{value.isoformat()} {value.tzinfo} {value.fold}")),
    timedelta: ("timedelta", lambda value: f"{value.days} {value.seconds} {value.microseconds}".encode()),
    Decimal: ("decimal", lambda value: str(value).encode()),
    Fraction: ("fraction", lambda value: f"{value.numerator:x}/{value.denominator:x}".encode()),
    UUID: ("uuid", lambda value: value.bytes),
    ZoneInfo: ("zone", lambda value: _text(str(value))),
}


def _writer_of(value: Any) -> Write:
    """The first writer that fits. Arrays and models are only looked for when their package has been imported."""
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write
    for package, names, write in _GUESTS:
        module = sys.modules.get(package)
        found = (getattr(module, name, None) for name in names)
        if isinstance(value, tuple(kind for kind in found if isinstance(kind, type))):
            return write
    return _dataclass if dataclasses.is_dataclass(value) else _object


def _name_of(kind: type) -> str:
    return kind.__qualname__


def _enum(scribe: _Scribe, value: Enum) -> None:
    scribe.sequence("enum", (_name_of(type(value)), value.name))


def _class(scribe: _Scribe, value: type) -> None:
    scribe.leaf("class", _text(f"{value.__module__}.{value.__qualname__}"))


def _module(scribe: _Scribe, value: ModuleType) -> None:
    scribe.leaf("module", _text(value.__name__))


def _path(scribe: _Scribe, value: PurePath) -> None:
    scribe.leaf("path", _text(str(value)))


def _list(scribe: _Scribe, value: list[Any]) -> None:
    scribe.sequence(_name_of(type(value)), value)
    _attributes(scribe, value)


def _tuple(scribe: _Scribe, value: tuple[Any, ...]) -> None:
    scribe.sequence(_name_of(type(value)), value)
    _attributes(scribe, value)


def _dict(scribe: _Scribe, value: dict[Any, Any]) -> None:
    scribe.unordered(_name_of(type(value)), value.items())
    _attributes(scribe, value)


def _held(value: Any) -> dict[str, Any]:
    """What an instance holds in its ``__dict__``, without what it can compute again."""
    kind = type(value)
    return {
        name: part
        for name, part in getattr(value, "__dict__", {}).items()
        if name != "__orig_class__" and not isinstance(getattr(kind, name, None), functools.cached_property)
    }


def _set(scribe: _Scribe, value: set[Any] | frozenset[Any]) -> None:
    scribe.unordered(_name_of(type(value)), value)
    _attributes(scribe, value)


def _attributes(scribe: _Scribe, value: Any) -> None:
    """What an instance of a subclass of a container holds beside its members."""
    attributes = _held(value) if type(value).__module__ != "builtins" else None
    if attributes:
        scribe.unordered("attributes", attributes.items())


def _view(scribe: _Scribe, value: memoryview) -> None:
    scribe.sequence("memoryview", (value.format, value.shape, value.tobytes()))


def _code(scribe: _Scribe, value: CodeType) -> None:
    scribe.sequence("code", (value.co_code, value.co_consts, value.co_names, value.co_varnames, value.co_freevars))


def _function(scribe: _Scribe, value: FunctionType) -> None:
    closed_over = [_cell_content(cell) for cell in value.__closure__ or ()]
    scribe.sequence("function", (value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__))
    scribe.sequence("closure", closed_over)


def _cell_content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return ...


def _builtin(scribe: _Scribe, value: BuiltinFunctionType) -> None:
    owner = None if isinstance(value.__self__, ModuleType) else value.__self__
    scribe.sequence("builtin", (value.__module__, value.__qualname__, owner))


def _method(scribe: _Scribe, value: MethodType) -> None:
    scribe.sequence("method", (value.__func__, value.__self__))


def _partial(scribe: _Scribe, value: functools.partial[Any]) -> None:
    scribe.sequence("partial", (value.func, value.args, value.keywords))


def _dataclass(scribe: _Scribe, value: Any) -> None:
    fields = {field.name: getattr(value, field.name, ...) for field in dataclasses.fields(value)}
    others = {name: part for name, part in _held(value).items() if name not in fields}
    scribe.sequence("dataclass", (_name_of(type(value)), fields, others) if others else (_name_of(type(value)), fields))


def _pydantic(scribe: _Scribe, value: Any) -> None:
    parts = (_name_of(type(value)), dict(value.__dict__), value.__pydantic_extra__)
    private = value.__pydantic_private__
    scribe.sequence("model", (*parts, private) if private else parts)


def _numpy(scribe: _Scribe, value: Any) -> None:
    plain = value.tolist() if value.dtype.hasobject else value.tobytes()
    scribe.sequence("array", (_name_of(type(value)), str(value.dtype), value.shape, plain))


def _pandas(scribe: _Scribe, value: Any) -> None:
    columns = [value[name] for name in value.columns] if value.ndim == 2 else [value.to_numpy()]
    labels = list(value.columns) if value.ndim == 2 else value.name
    index = value.index.to_numpy() if hasattr(value, "index") else None
    kinds = [str(column.dtype) for column in columns]
    arrays = [column.to_numpy() if hasattr(column, "to_numpy") else column for column in columns]
    scribe.sequence("frame", (_name_of(type(value)), labels, kinds, index, arrays))


def _object(scribe: _Scribe, value: Any) -> None:
    """Any other object: by what it would be rebuilt from, else by its pickled bytes.

    Not by the pickled bytes alone: those depend on the order of sets, and for classes of a script on the process.
    """
    try:
        parts = _rebuilt_from(value)
    except Exception:
        scribe.leaf("pickle", _pickled(value))
        return
    if isinstance(parts, str):
        scribe.leaf("global", _text(f"{type(value).__qualname__} {parts}"))
        return
    make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
    scribe.sequence("object", (_name_of(type(value)), make, arguments, state))
    scribe.sequence("items", items or ())
    scribe.unordered("pairs", pairs or ())


def _rebuilt_from(value: Any) -> Any:
    reduce = copyreg.dispatch_table.get(type(value))
    return reduce(value) if reduce is not None else value.__reduce_ex__(4)


def _pickled(value: Any) -> bytes:
    import cloudpickle  # costs 20 ms, and is needed for few

    try:
        packed: bytes = cloudpickle.dumps(value, protocol=4)
    except Exception as error:
        kind = type(value)
        raise CacheKeyError(f"a {kind.__module__}.{kind.__qualname__} has no content to hash ({error})") from error
    return packed


_WRITERS: Final[tuple[tuple[type | tuple[type, ...], Write], ...]] = (
    (Enum, _enum),
    (type, _class),
    (ModuleType, _module),
    (list, _list),
    (tuple, _tuple),
    (dict, _dict),
    ((set, frozenset), _set),
    (PurePath, _path),
    (memoryview, _view),
    (FunctionType, _function),
    (MethodType, _method),
    (BuiltinFunctionType, _builtin),
    (functools.partial, _partial),
    (CodeType, _code),
)
_GUESTS: Final[tuple[tuple[str, tuple[str, ...], Write], ...]] = (
    ("pydantic", ("BaseModel",), _pydantic),
    ("numpy", ("ndarray", "generic"), _numpy),
    ("pandas", ("DataFrame", "Series", "Index"), _pandas),
)


def name_of_unhashable(inputs: dict[str, Any]) -> str:
    """The first argument whose value has no stable hash; "?" if each has one."""
    for name, value in inputs.items():
        try:
            stable_hash(value)
        except CacheKeyError:
            return name
    return "?"
