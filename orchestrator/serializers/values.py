"""The result of a run, there and back, in one of the registered formats.

A serializer is two functions and a number: see ``json_format.py`` for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from orchestrator.errors import SerializationError
from orchestrator.serializers import protection
from orchestrator.serializers.explaining import explained
from orchestrator.serializers.framing import (
    DEFAULT_LIMITS,
    MAX_FORMAT,
    MSGPACK,
    OURS,
    PLAIN_MSGPACK,
    PayloadLimits,
    open_body,
    seal,
)
from orchestrator.serializers.packing import Packing, pack_body
from orchestrator.serializers.reading import Reading, unreadable
from orchestrator.serializers.signing import Context

Pack: TypeAlias = Callable[[Any, Packing], bytes]
Unpack: TypeAlias = Callable[[bytes, Reading], Any]


class _Serializer(NamedTuple):
    name: str
    pack: Pack
    unpack: Unpack
    tag: int


_by_name: dict[str, _Serializer] = {}
_by_tag: dict[int, _Serializer] = {}


def register_serializer(name: str, pack: Pack, unpack: Unpack, tag: int) -> None:
    """Make a format known under a name, for ``@task(result_serializer=name)``.

    Args:
        name: What users write.
        pack: ``pack(value, packing) -> bytes``. If it calls ``packing.pickled``, the body gets signed.
        unpack: ``unpack(data, reading) -> value``. Before it runs anything found in the data it must call
            ``reading.demand_trust()``.
        tag: The number of the format on the wire, 1 to 63, never used for anything else.

    Raises:
        ValueError: the name or the number is taken or out of range.

    >>> register_serializer("text", lambda value, packing: str(value).encode(), lambda data, reading: data.decode(), 63)
    >>> unpack_value(pack_value(7, context=tuple, serializer="text"), context=tuple)
    '7'
    """
    if not 1 <= tag <= MAX_FORMAT:
        raise ValueError(f"the tag of serializer {name!r} must be 1 to {MAX_FORMAT}, not {tag}")
    if name in _by_name or tag in _by_tag or tag in OURS:
        raise ValueError(f"serializer {name!r} with tag {tag}: that name or tag is taken")
    _by_name[name] = _by_tag[tag] = _Serializer(name, pack, unpack, tag)


def serializer_names() -> list[str]:
    """The names that ``result_serializer`` accepts."""
    return sorted(_by_name)


def serializer_name(tag: int) -> str:
    """The name under which a format on the wire is known here, or its number.

    >>> serializer_name(MSGPACK), serializer_name(62)
    ('msgpack', '62')
    """
    known = _by_tag.get(tag)
    return known.name if known else str(tag)


def pack_value(
    value: Any,
    *,
    context: Context,
    limits: PayloadLimits = DEFAULT_LIMITS,
    serializer: str = "msgpack",
    enclosed: bool = False,
) -> bytes:
    """Pack a result. Futures in it become handles.

    Args:
        value: What the task returned.
        context: Where the body belongs, for example ``("result", run_id)``; called only if the body is signed or
            encrypted.
        limits: Sizes in bytes.
        serializer: ``"msgpack"``, ``"json"``, ``"pickle"``, or one that was registered; after ``"compressed/"`` the
            body is compressed however small it is.
        enclosed: It goes into something that is signed and encrypted as a whole.

    Raises:
        SerializationError: a part of it cannot be packed; the message names it, its type, and what to do.
        PayloadTooLarge: it is above the hard limit.
        ValueError: there is no such serializer.

    >>> unpack_value(pack_value({"sold": (1, 2)}, context=tuple), context=tuple)
    {'sold': (1, 2)}
    """
    if serializer != "msgpack":
        if serializer.startswith("compressed/"):
            serializer, limits = serializer[11:], replace(limits, compress_above_bytes=0)
        return _pack_with(_serializer(serializer), value, context, limits, enclosed)
    try:
        data, packing = pack_body(value, False)
    except Exception as error:
        explanation = explained("the result", value, error, in_call=False)
        raise explanation from explanation.__cause__
    size = len(data)
    plain = not packing.must_sign and (enclosed or not protection.wanted)
    if plain and size <= limits.compress_above_bytes and size <= limits.max_bytes:
        body = PLAIN_MSGPACK + data
    else:
        body = seal(MSGPACK, data, limits, must_sign=packing.must_sign, context=context, protect=not enclosed)
    packing.put_back(size)
    return body


def unpack_value(
    body: bytes, *, context: Context, limits: PayloadLimits = DEFAULT_LIMITS, enclosed: bool = False
) -> Any:
    """The result in a body, whatever format it was written in.

    Raises:
        UntrustedPayload: a signature that is missing where one is needed or does not fit, a changed ciphertext, or a
            decompression bomb.
        EncryptionKeyMissing: it is encrypted, and the key is not here.
        SerializationError: the bytes are no result, or one that cannot be restored here.
    """
    try:
        if body[:1] == PLAIN_MSGPACK and (enclosed or not protection.demanded):
            return Reading().unpack(body[1:])
        form, data, signed = open_body(body, context, limits, protected=not enclosed)
        serializer = _by_tag.get(form)
        if serializer is None:
            raise SerializationError(f"unknown format {form}: was this written by a newer version, or with a plug-in?")
        return serializer.unpack(data, Reading(signed))
    except Exception as error:
        raise unreadable("the result", error) from error


def _serializer(name: str) -> _Serializer:
    try:
        return _by_name[name]
    except KeyError:
        raise ValueError(f"there is no serializer {name!r}, only {', '.join(serializer_names())}") from None


def _pack_with(serializer: _Serializer, value: Any, context: Context, limits: PayloadLimits, enclosed: bool) -> bytes:
    packing = Packing()
    try:
        data = serializer.pack(value, packing)
    except Exception as error:
        explanation = SerializationError(f"the result cannot be packed as {serializer.name}: {error}")
        raise explanation from error
    return seal(serializer.tag, data, limits, must_sign=packing.must_sign, context=context, protect=not enclosed)


def _pack_msgpack(value: Any, packing: Packing) -> bytes:
    return packing.pack(value)


def _unpack_msgpack(data: bytes, reading: Reading) -> Any:
    return reading.unpack(data)


register_serializer("msgpack", _pack_msgpack, _unpack_msgpack, MSGPACK)
