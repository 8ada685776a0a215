"""The last resort: cloudpickle, inside a signed body.

Futures are found inside pickles too: to the pickler they are *persistent ids*, whose text is what would have been
packed in their place.
"""

from __future__ import annotations

import functools
import io
import sys
from typing import TYPE_CHECKING, Any, Final

from orchestrator.errors import OrchestratorError, SerializationError
from orchestrator.serializers import buffers
from orchestrator.serializers.extensions import Writer, is_replaced, readers
from orchestrator.serializers.wire import PICKLE, ExtType

if TYPE_CHECKING:
    from orchestrator.serializers.packing import Packing
    from orchestrator.serializers.reading import Reading

PICKLE_FORMAT: Final = 3
_PROTOCOL: Final = 5


def dump(obj: object, packing: Packing) -> bytes:
    """The pickle of ``obj``, with replacements noted in ``packing``."""
    buffer = io.BytesIO()
    _pickler_class()(buffer, packing).dump(obj)
    return buffer.getvalue()


def dump_for_a_child(obj: object) -> bytes:
    """A pickle for a process of our own, read with ``pickle.loads``.

    Raises:
        SerializationError: it holds something that belongs to this process.
    """
    buffer = io.BytesIO()
    _pickler_class()(buffer, None).dump(obj)
    return buffer.getvalue()


def dump_signed(value: object, packing: Packing) -> bytes:
    """A whole result as a pickle."""
    return packing.pickled(value)


def load(data: bytes, reading: Reading) -> Any:
    """The object in a pickle.

    Raises:
        UntrustedPayload: the body around it carries no good signature.
        SerializationError: it cannot be restored here, for example because a module is missing.
    """
    reading.demand_trust()
    try:
        return _unpickler_class()(io.BytesIO(data), reading).load()
    except OrchestratorError:  # also: the task's time is up
        raise
    except Exception as error:
        raise SerializationError(f"a pickled object cannot be restored: {type(error).__name__}: {error}") from error


@functools.cache
def _pickler_class() -> Any:
    import cloudpickle  # 20 ms, and most processes never pickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self, file: io.BytesIO, packing: Packing | None) -> None:
            super().__init__(file, protocol=_PROTOCOL)
            self._packing = packing

        def persistent_id(self, obj: object) -> bytes | None:
            packing = self._packing
            return packing.pack(obj) if packing is not None and is_replaced(type(obj)) else None

        def reducer_override(self, obj: Any) -> Any:
            # cloudpickle would send a view as bytes, and an open file as a copy of what is in it.
            if type(obj) is memoryview:
                return buffers.view_of, buffers.parts_of(obj)
            if isinstance(obj, io.TextIOWrapper) and obj not in (sys.stdout, sys.stderr):
                raise SerializationError(
                    f"the open file {obj.name!r} belongs to this process: pass its path, or what was read from it"
                )
            return super().reducer_override(obj)

    return Pickler


@functools.cache
def _unpickler_class() -> Any:
    import pickle  # 3 ms, which a process that only sends plain calls saves

    class Unpickler(pickle.Unpickler):
        def __init__(self, file: io.BytesIO, reading: Reading) -> None:
            super().__init__(file)
            self._reading = reading

        def persistent_load(self, pid: Any) -> Any:
            return self._reading.unpack(pid)

    return Unpickler


def write_pickle(obj: object, packing: Packing) -> object:
    """Write anything, if there is a key."""
    return ExtType(PICKLE, packing.pickled(obj))


def find(cls: type) -> Writer:
    """Takes every class."""
    return write_pickle


readers[PICKLE] = load
