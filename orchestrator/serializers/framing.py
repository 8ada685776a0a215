"""The outside of a body: one tag byte, a signature if it is signed, the data, compressed if that helps.

The tag holds the format in its low six bits (1 is msgpack) and two flags. Signed is what holds a pickle, and everything
when there is a key to sign with; the signature is checked before anything else looks at the data. The format
*encrypted* holds another body, the format *enclosed* bytes that are not ours to understand.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from brokers.errors import PayloadTooLarge
from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers import protection
from orchestrator.serializers.signing import SIGNATURE_BYTES, Context, signed, verified

MSGPACK: Final = 1
ENCRYPTED: Final = 4
ENCLOSED: Final = 5
OURS: Final = frozenset((ENCRYPTED, ENCLOSED))
"""Formats that no serializer may have."""
MAX_FORMAT: Final = 0x3F
COMPRESSED: Final = 0x40
SIGNED: Final = 0x80
PLAIN_MSGPACK: Final = bytes((MSGPACK,))
_ENCLOSING: Final = frozenset(form | flag for form in OURS for flag in (0, SIGNED))  # no text in UTF-8 begins so


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
_AS_IT_IS: Final = PayloadLimits(compress_above_bytes=1 << 40, max_bytes=1 << 27)  # the body in it had its own limits


def seal(
    form: int,
    data: bytes,
    limits: PayloadLimits,
    *,
    must_sign: bool = False,
    context: Context = tuple,
    protect: bool = True,
) -> bytes:
    """Wrap ``data`` of this format up as a body.

    Args:
        form: The format.
        data: In that format.
        limits: Sizes in bytes.
        must_sign: It holds a pickle.
        context: Where it belongs.
        protect: Sign and encrypt it as this process does with everything; not, when it goes into something that will
            be.

    Raises:
        PayloadTooLarge: the data is above the hard limit.
        SerializationError: it has to be signed, and there is no key.
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
    ciphers = protection.ciphers() if protect else None
    must_sign = must_sign or (protect and protection.signs())
    if ciphers is None and not must_sign:
        return bytes((tag,)) + data
    parts = context()
    if ciphers is not None:
        tag, data = ENCRYPTED, ciphers.encrypt(bytes((tag,)) + data, parts)
    if must_sign:
        tag |= SIGNED
        data = signed(tag, data, parts)
    return bytes((tag,)) + data


def open_body(
    body: bytes, context: Context, limits: PayloadLimits, *, protected: bool = True
) -> tuple[int, bytes, bool]:
    """The format, the data, and whether a good signature vouches for them.

    Args:
        body: What :func:`seal` made.
        context: Where it belongs.
        limits: ``max_bytes`` bounds what it may grow to.
        protected: Whether it has to be signed where everything has to be; not, when it comes out of something that was.

    Raises:
        UntrustedPayload: a signature that is missing or does not fit, a changed ciphertext, or a decompression bomb.
        EncryptionKeyMissing: it is encrypted, and the key is not here.
        SerializationError: not a body.
    """
    if not body:
        raise SerializationError("an empty body cannot be read")
    tag = body[0]
    trusted = bool(tag & SIGNED)
    parts = context() if trusted or tag & MAX_FORMAT == ENCRYPTED else ()
    if trusted:
        data = verified(tag, body[1:], parts)
    else:
        if protected:
            protection.demand_signature()
        data = body[1:]
    if tag & MAX_FORMAT == ENCRYPTED:
        data = protection.decrypted(data, parts)
        tag = data[0] if data else 0
        if tag & SIGNED or tag & MAX_FORMAT == ENCRYPTED:
            raise SerializationError("an encrypted body holds something else than a plain one")
        data = data[1:]
    if tag & COMPRESSED:
        data = _inflated(data, limits.max_bytes)
    return tag & MAX_FORMAT, data, trusted


def enclose(data: bytes, context: Context, limits: PayloadLimits = _AS_IT_IS) -> bytes:
    """Bytes that are no body, signed and encrypted as this process does with everything; else as they are.

    They begin with another byte than 4, 5, 0x84 and 0x85, as outcomes and texts do.
    """
    return seal(ENCLOSED, data, limits, context=context) if protection.wanted else data


def disclose(blob: bytes, context: Context, limits: PayloadLimits = _AS_IT_IS) -> bytes:
    """The bytes that were enclosed, or those that nobody enclosed.

    Raises:
        UntrustedPayload, EncryptionKeyMissing, SerializationError: as :func:`open_body` does.
    """
    if not blob or blob[0] not in _ENCLOSING:
        protection.demand_signature()
        return blob
    form, data, _ = open_body(blob, context, limits)
    if form != ENCLOSED:
        raise SerializationError("a body is in the place of something else")
    return data


def is_signed(blob: bytes) -> bool:
    """Whether stored bytes have a signature; :func:`disclose` says whether it is a good one."""
    return bool(blob) and blob[0] in _ENCLOSING and bool(blob[0] & SIGNED)


def encloses_as_now(blob: bytes) -> bool:
    """Whether stored bytes are encrypted with the key in use, where there is one."""
    ciphers = protection.ciphers()
    if ciphers is None:
        return True
    if not blob or blob[0] not in _ENCLOSING or blob[0] & MAX_FORMAT != ENCRYPTED:
        return False
    return ciphers.is_current(blob[1 + (SIGNATURE_BYTES if blob[0] & SIGNED else 0) :])


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
