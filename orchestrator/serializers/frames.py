"""Data frames and series of pandas and polars, as an Arrow stream.

pandas needs pyarrow for it, polars brings its own. Arrow takes more than it keeps: lists become arrays, labels become
text, a frequency is gone. So what was written is read again and compared, and what did not stay as it was goes the way
of unknown objects, as pandas without pyarrow does.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any, TypeAlias

from orchestrator.errors import SerializationError
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.packing import Packing
from orchestrator.serializers.pandas_equality import is_same_pandas
from orchestrator.serializers.pickling import write_pickle
from orchestrator.serializers.reading import Reading
from orchestrator.serializers.wire import FRAME, ExtType

_FIRST_SAFE_PYARROW = 15  # before it, an Arrow stream could hold pickles (CVE-2023-47248)
_SERIES_COLUMN = "values"
_Mended: TypeAlias = dict[str, Any]  # what Arrow does not keep and a reader can set again


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
    made = _polars_stream(frame) if kind.startswith("polars") else _pandas_stream(original, frame)
    if made is None:
        return write_pickle(original, packing)
    stream, mended = made
    return ExtType(FRAME, packing.pack([kind, stream, name, mended] if mended else [kind, stream, name]))


def _polars_stream(frame: Any) -> tuple[bytes, _Mended] | None:
    if any(_holds_objects(dtype) for dtype in frame.dtypes):
        raise SerializationError(
            "it has a column of Python objects, which leave polars as addresses in this process: give the column a "
            "type of polars, or pass its values as a list beside the frame"
        )
    buffer = io.BytesIO()
    try:
        frame.write_ipc_stream(buffer)
        stream = buffer.getvalue()
        return (stream, {}) if _is_same_polars(_polars_frame(stream), frame) else None
    except Exception:  # polars has many ways to say that it cannot
        return None


def _holds_objects(dtype: Any) -> bool:
    inner = getattr(dtype, "inner", None)
    fields = getattr(dtype, "fields", ())
    return (
        str(dtype).startswith("Object")
        or (inner is not None and _holds_objects(inner))
        or any(_holds_objects(field.dtype) for field in fields)
    )


def _is_same_polars(arrived: Any, frame: Any) -> bool:
    same: bool = arrived.schema == frame.schema and arrived.equals(frame, null_equal=True)
    return same


def _pandas_stream(original: Any, frame: Any) -> tuple[bytes, _Mended] | None:
    pyarrow = _pyarrow()
    if pyarrow is None or original.attrs or not original.flags.allows_duplicate_labels:
        return None
    try:
        table = pyarrow.Table.from_pandas(frame)
        sink = pyarrow.BufferOutputStream()
        with importlib.import_module("pyarrow.ipc").new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        content: bytes = sink.getvalue().to_pybytes()
        mended = _lost_by_arrow(frame)
        return (content, mended) if is_same_pandas(_mend(_pandas_frame(content), mended), frame) else None
    except Exception:  # mixed objects, two columns of one name, ...: Arrow and pandas have many ways to say so
        return None


def _lost_by_arrow(frame: Any) -> _Mended:
    """What travels beside the stream: an index's frequency, numbered columns, text held as Python objects."""
    mended: _Mended = {}
    if getattr(frame.index, "freq", None) is not None:
        mended["f"] = frame.index.freqstr
    if type(frame.columns).__name__ == "RangeIndex":
        mended["c"] = [frame.columns.start, frame.columns.stop, frame.columns.step]
    objects = [at for at, dtype in enumerate(frame.dtypes) if _is_object(dtype)]
    if objects:
        mended["o"] = objects
    return mended


def _is_object(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") == "O" and str(dtype) == "object"


def _mend(frame: Any, mended: _Mended) -> Any:
    frequency = mended.get("f")
    if isinstance(frequency, str):
        frame.index.freq = frequency
    if "c" in mended:
        pandas = importlib.import_module("pandas")
        frame.columns = pandas.RangeIndex(*mended["c"], name=frame.columns.name)
    for at in mended.get("o", ()):
        if not _is_object(frame.dtypes.iloc[at]):
            frame.isetitem(at, frame.iloc[:, at].astype(object))
    return frame


def _read_frame(data: bytes, reading: Reading) -> Any:
    kind, stream, name, *more = reading.unpack_list(data, 3)
    library, _, shape = str(kind).partition(".")
    frame = _polars_frame(stream) if library == "polars" else _pandas_frame(stream)
    if more and type(more[0]) is dict and library == "pandas":
        frame = _mend(frame, more[0])
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
