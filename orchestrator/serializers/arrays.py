"""Numpy: arrays in the format of ``numpy.save``, scalars as their type and bytes. Neither can hold objects."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.pickling import write_pickle
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ARRAY, SCALAR, ExtType

_SCALAR_KINDS = frozenset("biufcSUMm")
_PICKLING = ("__reduce__", "__reduce_ex__")
_ARRAY_KINDS = _SCALAR_KINDS | {"V"}


def find(cls: type) -> Writer | None:
    """The writer of an array or a numpy scalar; subclasses such as masked arrays are not taken."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray"):  # absent, or being imported right now
        return None
    if cls is numpy.ndarray:
        return _write_array
    if issubclass(cls, numpy.generic):
        return _write_scalar if cls.__module__ == "numpy" else _unless_lost(numpy.generic)
    own = issubclass(cls, numpy.ndarray) and cls.__module__.partition(".")[0] != "numpy"
    return _unless_lost(numpy.ndarray) if own else None


def _unless_lost(base: type) -> Writer:
    """Pickles of subclasses, which keep neither the class of a scalar nor the attributes of an array by themselves."""

    def write(value: Any, packing: Packing) -> object:
        pickles_itself = any(getattr(type(value), name) is not getattr(base, name) for name in _PICKLING)
        lost = f"its class ({type(value).__qualname__})" if not hasattr(value, "__array_finalize__") else ""
        if hasattr(value, "__dict__") and vars(value):
            lost = f"its attributes ({', '.join(vars(value))})"
        if lost and not pickles_itself:
            raise SerializationError(
                f"numpy does not pickle {lost}: pass numpy's own type and the rest beside it, "
                "or give the class a __reduce__"
            )
        return write_pickle(value, packing)

    return write


def _write_array(array: Any, packing: Packing) -> object:
    if not _is_kept(array.dtype):
        return write_pickle(array, packing)
    buffer = io.BytesIO()
    _numpy().lib.format.write_array(buffer, array, allow_pickle=False)
    return ExtType(ARRAY, buffer.getvalue())


def _is_kept(dtype: Any) -> bool:
    """Whether the format of ``numpy.save`` keeps everything about a dtype: it drops alignment, titles and metadata."""
    numpy = _numpy()
    if dtype.hasobject or dtype.metadata or dtype.kind not in _ARRAY_KINDS:
        return False
    if dtype.names is None:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what it drops
        kept = numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(dtype))
    same: bool = kept == dtype and kept.isalignedstruct == dtype.isalignedstruct
    return same and all(dtype[name].metadata is None for name in dtype.names)


def _read_array(data: bytes, reading: Reading) -> Any:
    return _numpy().lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _write_scalar(scalar: Any, packing: Packing) -> object:
    if scalar.dtype.kind not in _SCALAR_KINDS or scalar.dtype.metadata or _ends_in_zeros(scalar):
        return write_pickle(scalar, packing)
    return ExtType(SCALAR, packing.pack([scalar.dtype.str, scalar.tobytes()]))


def _ends_in_zeros(scalar: Any) -> bool:
    """Text that numpy would cut when it reads it: it takes the zeros at the end for padding."""
    return (
        scalar.dtype.kind in "SU"
        and len(scalar) > 0
        and not scalar[-1:].strip("\0" if scalar.dtype.kind == "U" else b"\0")
    )


def _read_scalar(data: bytes, reading: Reading) -> Any:
    name, content = reading.unpack_list(data, 2)[:2]
    dtype = _numpy().dtype(str(name))
    if dtype.kind not in _SCALAR_KINDS:
        raise SerializationError("a numpy scalar in the body has a type that is none")
    if dtype.itemsize == 0:  # empty text
        return dtype.type()
    return _numpy().frombuffer(content, dtype=dtype, count=1)[0]


def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise SerializationError("the body holds a numpy value, and numpy is not installed here") from None


readers[ARRAY] = _read_array
readers[SCALAR] = _read_scalar
