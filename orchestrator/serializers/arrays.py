"""Numpy: arrays in the format of ``numpy.save``, scalars as their type and bytes. Neither can hold objects."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

from orchestrator.errors import SerializationError
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.pickling import write_pickle
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import ARRAY, SCALAR, ExtType

_SCALAR_KINDS = frozenset("biufcSUMm")


def find(cls: type) -> Writer | None:
    """The writer of an array or a numpy scalar; subclasses such as masked arrays are not taken."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray"):  # absent, or being imported right now
        return None
    if cls is numpy.ndarray:
        return _write_array
    return _write_scalar if issubclass(cls, numpy.generic) and cls.__module__ == "numpy" else None


def _write_array(array: Any, packing: Packing) -> object:
    if array.dtype.hasobject:
        return write_pickle(array, packing)
    buffer = io.BytesIO()
    _numpy().lib.format.write_array(buffer, array, allow_pickle=False)
    return ExtType(ARRAY, buffer.getvalue())


def _read_array(data: bytes, reading: Reading) -> Any:
    return _numpy().lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _write_scalar(scalar: Any, packing: Packing) -> object:
    if scalar.dtype.kind not in _SCALAR_KINDS:
        return write_pickle(scalar, packing)
    return ExtType(SCALAR, packing.pack([scalar.dtype.str, scalar.tobytes()]))


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
