"""Data frames and series of pandas and polars, as an Arrow stream.

pandas needs pyarrow for it, polars brings its own. What Arrow cannot hold (columns of mixed objects), and pandas
without pyarrow, goes the way of unknown objects.
"""

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
from orchestrator.serializers.wire import FRAME, ExtType

_FIRST_SAFE_PYARROW = 15  # before it, an Arrow stream could hold pickles (CVE-2023-47248)
_SERIES_COLUMN = "values"


def find(cls: type) -> Writer | None:
    """The writer of a frame or series; subclasses (geopandas, ...) are not taken."""
    library = cls.__module__.partition(".")[0]
    if library not in ("pandas", "polars"):
        return None
    module: Any = sys.modules.get(library)
    if cls is getattr(module, "DataFrame", None):
        return _write_pandas_frame if library == "pandas" else _write_polars_frame
    if cls is getattr(module, "Series", None):
        return _write_pandas_series if library == "pandas" else _write_polars_series
    return None


def _write_pandas_frame(frame: Any, packing: Packing) -> object:
    return _written("pandas.DataFrame", None, frame, frame, packing)


def _write_pandas_series(series: Any, packing: Packing) -> object:
    return _written("pandas.Series", series.name, series, series.to_frame(name=_SERIES_COLUMN), packing)


def _write_polars_frame(frame: Any, packing: Packing) -> object:
    return _written("polars.DataFrame", None, frame, frame, packing)


def _write_polars_series(series: Any, packing: Packing) -> object:
    return _written("polars.Series", series.name, series, series.alias(_SERIES_COLUMN).to_frame(), packing)


def _written(kind: str, name: object, original: Any, frame: Any, packing: Packing) -> object:
    stream = _polars_stream(frame) if kind.startswith("polars") else _pandas_stream(frame)
    if stream is None:
        return write_pickle(original, packing)
    return ExtType(FRAME, packing.pack([kind, stream, name]))


def _polars_stream(frame: Any) -> bytes | None:
    buffer = io.BytesIO()
    try:
        frame.write_ipc_stream(buffer)
    except Exception:  # a column of Python objects; polars has many ways to say so
        return None
    return buffer.getvalue()


def _pandas_stream(frame: Any) -> bytes | None:
    pyarrow = _pyarrow()
    if pyarrow is None or frame.attrs:
        return None
    try:
        table = pyarrow.Table.from_pandas(frame)
    except (pyarrow.ArrowException, TypeError, ValueError, KeyError):  # mixed objects, two columns of one name, ...
        return None
    sink = pyarrow.BufferOutputStream()
    with importlib.import_module("pyarrow.ipc").new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _read_frame(data: bytes, reading: Reading) -> Any:
    kind, stream, name = reading.unpack_list(data, 3)[:3]
    library, _, shape = str(kind).partition(".")
    frame = _polars_frame(stream) if library == "polars" else _pandas_frame(stream)
    if shape != "Series":
        return frame
    series = frame[_SERIES_COLUMN]
    return series.rename(name)


def _polars_frame(stream: bytes) -> Any:
    try:
        polars = importlib.import_module("polars")
    except ImportError:
        raise SerializationError("the body holds a polars frame, and polars is not installed here") from None
    try:
        return polars.read_ipc_stream(io.BytesIO(stream))
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # Rust's; not an Exception, so that nobody would catch it
            raise SerializationError("the polars frame in the body cannot be read") from None
        raise


def _pandas_frame(stream: bytes) -> Any:
    pyarrow = _pyarrow()
    if pyarrow is None:
        raise SerializationError("the body holds a pandas frame: reading it needs pandas and pyarrow 15 or newer here")
    table = importlib.import_module("pyarrow.ipc").open_stream(stream).read_all()
    table.validate(full=True)  # Arrow believes offsets and lengths: wrong ones would end the process, not the call
    return table.to_pandas()


def _pyarrow() -> Any:
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError:
        return None
    return pyarrow if int(pyarrow.__version__.partition(".")[0]) >= _FIRST_SAFE_PYARROW else None


readers[FRAME] = _read_frame
