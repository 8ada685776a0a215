"""Bytearrays and memoryviews: what msgpack would pack as bytes without asking, found and marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.errors import SerializationError
from orchestrator.serializers.extensions import readers
from orchestrator.serializers.wire import BYTEARRAY, MEMORYVIEW, ExtType

if TYPE_CHECKING:
    from orchestrator.serializers.packing import Packing
    from orchestrator.serializers.reading import Reading

_BUFFERS: Final = frozenset((bytearray, memoryview))
_INSIDE: Final = (list, dict)
_CASTABLE: Final = frozenset("bBhHiIlLqQfdc?")


def among(value: Any) -> bool:
    """Whether a value is a buffer, or a list or dict with one inside, at any depth."""
    kind = type(value)
    if kind in _BUFFERS:
        return True
    if kind not in _INSIDE:
        return False
    parts = value if kind is list else value.values()
    kinds = set(map(type, parts))
    if kinds & _BUFFERS:
        return True
    if list not in kinds and dict not in kinds:
        return False
    return any(type(part) in _INSIDE and among(part) for part in parts)


def marked(value: Any, packing: Packing) -> Any:
    """The value with each buffer as the extension that it travels as."""
    kind = type(value)
    if kind is list:
        return [marked(part, packing) for part in value]
    if kind is dict:
        return {key: marked(part, packing) for key, part in value.items()}
    if kind is bytearray:
        return ExtType(BYTEARRAY, bytes(value))
    return _view(value, packing) if kind is memoryview else value


def _view(view: memoryview, packing: Packing) -> Any:
    content, readonly, form, shape = parts_of(view)
    return ExtType(MEMORYVIEW, packing.pack([content, readonly, form, list(shape)]))


def parts_of(view: memoryview) -> tuple[bytes, bool, str, tuple[int, ...]]:
    """What :func:`view_of` makes a memoryview from.

    Raises:
        SerializationError: it has a form that cannot be made again.
    """
    shape: tuple[int, ...] = view.shape or ()
    plain = view.format == "B" and len(shape) == 1
    if not plain and (view.format not in _CASTABLE or not shape or 0 in shape):
        raise SerializationError(
            f"a memoryview of format {view.format!r} and shape {shape} is a window on memory of this process: "
            "pass bytes(view)"
        )
    return view.tobytes(), view.readonly, view.format, shape


def _read_bytearray(data: bytes, reading: Reading) -> bytearray:
    return bytearray(data)


def _read_view(data: bytes, reading: Reading) -> memoryview:
    content, readonly, form, shape = reading.unpack_list(data, 4)[:4]
    return view_of(content, readonly, form, shape)


def view_of(content: bytes, readonly: bool, form: str, shape: Sequence[int]) -> memoryview:
    """A memoryview of memory of its own."""
    view = memoryview(content if readonly else bytearray(content))
    if form == "B" and len(shape) == 1:
        return view
    if len(shape) == 1:
        return view.cast(form)  # type: ignore[call-overload, no-any-return]
    return view.cast(form, tuple(shape))  # type: ignore[call-overload, no-any-return]


readers[BYTEARRAY] = _read_bytearray
readers[MEMORYVIEW] = _read_view
