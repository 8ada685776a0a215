"""Containers and scalars of the standard library. Times are in ``moments.py``."""

from __future__ import annotations

import re
import struct
from collections import OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

from orchestrator.errors import SerializationError
from orchestrator.serializers import wire
from orchestrator.serializers.extensions import extend
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ExtType

_complex = struct.Struct(">dd")

# The factories that can be written down as a word.
_FACTORIES: dict[str, Any] = {
    cls.__name__: cls for cls in (list, dict, set, tuple, frozenset, str, bytes, int, float, bool, deque)
}
_FACTORIES["OrderedDict"] = OrderedDict
_NAMES: dict[Any, str] = {cls: name for name, cls in _FACTORIES.items()}

_PATH_KINDS: dict[bytes, type[PurePath]] = {b"p": Path, b"x": PurePosixPath, b"w": PureWindowsPath}


def _write_tuple(value: tuple[Any, ...], packing: Packing) -> object:
    return ExtType(wire.TUPLE, packing.pack(list(value)))


def _read_tuple(data: bytes, reading: Reading) -> tuple[Any, ...]:
    return tuple(reading.unpack_list(data, 0))


def _write_set(value: set[Any], packing: Packing) -> object:
    return ExtType(wire.SET, packing.pack(list(value)))


def _read_set(data: bytes, reading: Reading) -> set[Any]:
    return set(reading.unpack_list(data, 0))


def _write_frozenset(value: frozenset[Any], packing: Packing) -> object:
    return ExtType(wire.FROZENSET, packing.pack(list(value)))


def _read_frozenset(data: bytes, reading: Reading) -> frozenset[Any]:
    return frozenset(reading.unpack_list(data, 0))


def _write_deque(value: deque[Any], packing: Packing) -> object:
    return ExtType(wire.DEQUE, packing.pack([value.maxlen, list(value)]))


def _read_deque(data: bytes, reading: Reading) -> deque[Any]:
    maxlen, items = reading.unpack_list(data, 2)[:2]
    return deque(items, maxlen)


def _write_defaultdict(value: defaultdict[Any, Any], packing: Packing) -> object:
    factory: Any = value.default_factory
    name = _NAMES.get(factory) if isinstance(factory, type) else None
    if factory is not None and name is None:
        if packing.key_ring is None:
            raise SerializationError(
                f"the factory of a defaultdict, {factory!r}, cannot be written down, and pickling is off because there "
                "is no secret key: use a plain type (list, int, dict, ...) as the factory, pass dict(value), or set "
                "ORCHESTRATOR_SECRET_KEY"
            )
        return ExtType(wire.PICKLE, packing.pickled(value))
    return ExtType(wire.DEFAULTDICT, packing.pack([name, dict(value)]))


def _read_defaultdict(data: bytes, reading: Reading) -> defaultdict[Any, Any]:
    name, items = reading.unpack_list(data, 2)[:2]
    return defaultdict(_FACTORIES.get(name), items)


def _write_range(value: range, packing: Packing) -> object:
    return ExtType(wire.RANGE, packing.pack([value.start, value.stop, value.step]))


def _read_range(data: bytes, reading: Reading) -> range:
    return range(*reading.unpack_list(data, 3)[:3])


def _write_slice(value: slice, packing: Packing) -> object:
    return ExtType(wire.SLICE, packing.pack([value.start, value.stop, value.step]))


def _read_slice(data: bytes, reading: Reading) -> slice:
    return slice(*reading.unpack_list(data, 3)[:3])


def _write_big_int(value: int, packing: Packing) -> object:
    if -(2**63) <= value < 2**64:  # comes here as a replacement for something else
        return value
    return ExtType(wire.BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _read_big_int(data: bytes, reading: Reading) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_complex(value: complex, packing: Packing) -> object:
    return ExtType(wire.COMPLEX, _complex.pack(value.real, value.imag))


def _read_complex(data: bytes, reading: Reading) -> complex:
    return complex(*_complex.unpack(data))


def _write_decimal(value: Decimal, packing: Packing) -> object:
    return ExtType(wire.DECIMAL, str(value).encode())


def _read_decimal(data: bytes, reading: Reading) -> Decimal:
    return Decimal(data.decode())


def _write_uuid(value: UUID, packing: Packing) -> object:
    return ExtType(wire.UUID, value.bytes)


def _read_uuid(data: bytes, reading: Reading) -> UUID:
    return UUID(bytes=data)


def _write_fraction(value: Fraction, packing: Packing) -> object:
    return ExtType(wire.FRACTION, packing.pack([value.numerator, value.denominator]))


def _read_fraction(data: bytes, reading: Reading) -> Fraction:
    return Fraction(*reading.unpack_list(data, 2)[:2])


def _write_pattern(value: re.Pattern[Any], packing: Packing) -> object:
    return ExtType(wire.PATTERN, packing.pack([value.pattern, value.flags]))


def _read_pattern(data: bytes, reading: Reading) -> re.Pattern[Any]:
    pattern, flags = reading.unpack_list(data, 2)[:2]
    return re.compile(pattern, flags)


def _write_path(value: PurePath, packing: Packing) -> object:
    kind = b"p" if isinstance(value, Path) else b"w" if isinstance(value, PureWindowsPath) else b"x"
    return ExtType(wire.PATH, kind + str(value).encode("utf-8", "surrogatepass"))


def _read_path(data: bytes, reading: Reading) -> PurePath:
    return _PATH_KINDS[data[:1]](data[1:].decode("utf-8", "surrogatepass"))


extend(tuple, wire.TUPLE, _write_tuple, _read_tuple)
extend(set, wire.SET, _write_set, _read_set)
extend(frozenset, wire.FROZENSET, _write_frozenset, _read_frozenset)
extend(deque, wire.DEQUE, _write_deque, _read_deque)
extend(defaultdict, wire.DEFAULTDICT, _write_defaultdict, _read_defaultdict)
extend(range, wire.RANGE, _write_range, _read_range)
extend(slice, wire.SLICE, _write_slice, _read_slice)
extend(int, wire.BIG_INT, _write_big_int, _read_big_int)
extend(complex, wire.COMPLEX, _write_complex, _read_complex)
extend(Decimal, wire.DECIMAL, _write_decimal, _read_decimal)
extend(UUID, wire.UUID, _write_uuid, _read_uuid)
extend(Fraction, wire.FRACTION, _write_fraction, _read_fraction)
extend(re.Pattern, wire.PATTERN, _write_pattern, _read_pattern)
for _path in (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath):
    extend(_path, wire.PATH, _write_path, _read_path)
