"""Exceptions: as the outcome of a run, and as values.

What travels is a description: the name of the class, ``args``, attributes, notes, the members of a group, the text of
the traceback. The reader builds the class if it is *already loaded* and an ``Exception`` (nothing is imported, no
``__init__`` or ``__new__`` of its own runs), else a :class:`~orchestrator.errors.RemoteError`.
"""

from __future__ import annotations

from typing import Final

from orchestrator.errors import SerializationError
from orchestrator.serializers.exception_building import built, comes_back
from orchestrator.serializers.exception_describing import TRACEBACK_BYTES, described, fields_of_exception
from orchestrator.serializers.extensions import Writer, readers
from orchestrator.serializers.framing import DEFAULT_LIMITS, MSGPACK, PayloadLimits, open_body, seal
from orchestrator.serializers.naming import as_pickle
from orchestrator.serializers.packing import TOO_DEEP, Packing
from orchestrator.serializers.reading import Reading, unreadable
from orchestrator.serializers.wire import EXCEPTION, ExtType

# An exception often holds another one twice, as an argument and as an attribute, and that one a third, twice: what
# lies deeper is its repr.
_MAX_EXCEPTIONS_INSIDE: Final = 4


def pack_exception(exc: BaseException, limits: PayloadLimits = DEFAULT_LIMITS) -> bytes:
    """Describe an exception in bytes. Never fails: what cannot be carried is described as text.

    It goes into an outcome, which is signed and encrypted as a whole.

    Args:
        exc: Any exception, also a group.
        limits: An exception larger than ``max_bytes`` arrives without its arguments.

    >>> unpack_exception(pack_exception(KeyError("tea")))
    KeyError('tea')
    """
    packing = Packing(surrogates=True, may_pickle=False)
    try:
        return seal(MSGPACK, packing.pack(described(exc, packing, TRACEBACK_BYTES)), limits, protect=False)
    except Exception:  # too large, or hostile to being looked at: its name and text still arrive
        return seal(MSGPACK, packing.pack(fields_of_exception(exc)), DEFAULT_LIMITS, protect=False)


def unpack_exception(data: bytes, limits: PayloadLimits = DEFAULT_LIMITS) -> BaseException:
    """The exception in some bytes, with the remote traceback as its ``__cause__``.

    Returns:
        An instance of the exception's own class, or a :class:`~orchestrator.errors.RemoteError` where that class is
        not loaded or is no subclass of ``Exception`` (``SystemExit``, ``KeyboardInterrupt``).

    Raises:
        SerializationError: the bytes are no exception.
    """
    try:
        form, packed, signed = open_body(data, tuple, limits, protected=False)
        if form != MSGPACK or signed:
            raise SerializationError("these bytes hold no exception")
        reading = Reading()
        return built(reading.unpack(packed), reading)
    except Exception as error:
        raise unreadable("the exception", error) from error


def find(cls: type) -> Writer | None:
    """The writer of an exception that is passed as a value."""
    return _write_exception if issubclass(cls, BaseException) else None


def _write_exception(exc: BaseException, packing: Packing) -> object:
    if packing.exceptions_open == _MAX_EXCEPTIONS_INSIDE:
        raise SerializationError(TOO_DEEP)
    strict = packing.may_pickle  # in an outcome better described than refused, as a value the other way round
    if strict and not comes_back(exc):
        return as_pickle(exc, packing)
    traceback_bytes = 0 if exc.__traceback__ is None and exc.__cause__ is None else TRACEBACK_BYTES
    packing.exceptions_open += 1
    try:
        return ExtType(EXCEPTION, packing.pack(described(exc, packing, traceback_bytes, strict=strict)))
    finally:
        packing.exceptions_open -= 1


def _read_exception(data: bytes, reading: Reading) -> BaseException:
    return built(reading.unpack(data), reading)


readers[EXCEPTION] = _read_exception
