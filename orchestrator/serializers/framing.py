"""The outside of a body: one tag byte, a signature if there is a pickle inside, the data, compressed if that helps.

The tag holds the format in its low six bits (1 is msgpack) and two flags. What is signed is checked before anything
else looks at it, decompression included.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from brokers.errors import PayloadTooLarge
from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers.signing import Context, KeyRing, verified

MSGPACK: Final = 1
MAX_FORMAT: Final = 0x3F
COMPRESSED: Final = 0x40
SIGNED: Final = 0x80
PLAIN_MSGPACK: Final = bytes((MSGPACK,))


@dataclass(frozen=True, slots=True)
class PayloadLimits:
    """How large bodies may be, in bytes before compression.

    ``compress_above_bytes``: larger ones are compressed. ``max_bytes``: larger ones are refused, by whoever writes
    them and by whoever reads them.

    >>> PayloadLimits(max_bytes=1_000_000).compress_above_bytes
    16384
    """

    compress_above_bytes: int = 16_384
    max_bytes: int = 67_108_864


DEFAULT_LIMITS: Final = PayloadLimits()


def seal(
    form: int, data: bytes, limits: PayloadLimits, signer: KeyRing | None = None, context: Context = tuple
) -> bytes:
    """Wrap ``data`` of this format up as a body; signed if there is a signer.

    Raises:
        PayloadTooLarge: the data is above the hard limit.
    """
    size = len(data)
    if size > limits.max_bytes:
        raise PayloadTooLarge(
            f"{size:,} bytes are more than the limit of {limits.max_bytes:,} bytes: "
            "store the data elsewhere and pass its address, or raise the limit on every client and worker"
        )
    tag = form
    if size > limits.compress_above_bytes:
        small = zlib.compress(data, 1)
        if len(small) < size:
            tag, data = tag | COMPRESSED, small
    if signer is None:
        return bytes((tag,)) + data
    tag |= SIGNED
    return b"".join((bytes((tag,)), signer.sign(tag, data, context()), data))


def open_body(body: bytes, context: Context, limits: PayloadLimits) -> tuple[int, bytes, bool]:
    """The format, the data, and whether a good signature vouches for them.

    Raises:
        UntrustedPayload: a signature that does not fit, or a decompression bomb.
        SerializationError: not a body.
    """
    if not body:
        raise SerializationError("an empty body cannot be read")
    tag = body[0]
    signed = bool(tag & SIGNED)
    data = verified(tag, body[1:], context) if signed else body[1:]
    if tag & COMPRESSED:
        data = _inflated(data, limits.max_bytes)
    return tag & MAX_FORMAT, data, signed


def _inflated(data: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise SerializationError(f"a compressed body cannot be read: {error}") from None
    if len(inflated) > max_bytes:
        raise UntrustedPayload(
            f"a compressed body of {len(data):,} bytes grows beyond the limit of {max_bytes:,} bytes and was not read"
        )
    if not inflater.eof or inflater.unused_data:
        raise SerializationError("a compressed body is cut short or has something behind it")
    return inflated
