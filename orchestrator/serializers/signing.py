"""Signatures: who may send us pickles, and, where a fleet has a key of its own, who may send us anything.

A signature is an HMAC-SHA256, and it covers where the body belongs (its *context*: task, run id, options, ...). So a
body is worth nothing under another call, and nothing without the key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from orchestrator.errors import SerializationError, UntrustedPayload
from orchestrator.serializers.wire import Packer

Parts: TypeAlias = Sequence[str | bytes] | bytes
"""Where a body belongs, in parts, or what :func:`joined` has made of them."""
Context: TypeAlias = Callable[[], Parts]
"""Where a body belongs. A callable, because a body that is neither signed nor encrypted never asks."""

SIGNATURE_BYTES: Final = 32
_PURPOSES: Final = [b"orchestrator body 2" + bytes((tag,)) for tag in range(256)]
_USUAL_CONTEXT_BYTES: Final = 256
_ID_BYTES: Final = 36
_MOST_PARTS: Final = 15  # that say how many they are in one byte
_BLOCK_BYTES: Final = 64  # of SHA-256
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

_WITHOUT_A_KEY = (
    "this body is signed and this process has no key to check it: "
    "set ORCHESTRATOR_SECRET_KEY to the same value on every client and worker"
)
_WRONG_SIGNATURE = (
    "the signature of this body does not fit: it was made with another ORCHESTRATOR_SECRET_KEY, "
    "changed on the way, or moved here from another call"
)


class MacKey:
    """HMAC-SHA256 under one key, with the key's part of the work done once.

    ``hmac.digest`` takes twice as long for the 100 bytes of a usual call, because it sets the key up each time.

    >>> MacKey(b"key").digest(b"text") == hmac.digest(b"key", b"text", "sha256")
    True
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def digest(self, data: bytes) -> bytes:
        """The 32 bytes."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class KeyRing:
    """The keys of a fleet: the first one signs, every one verifies, so that keys can be changed without a pause.

    Args:
        keys: At least one key, none of them empty. 32 random bytes each are good.

    Raises:
        ValueError: no key, or an empty one.

    >>> KeyRing([b"new key" * 5, b"old key" * 5])
    KeyRing(2 keys)
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or not all(keys):
            raise ValueError("a key ring needs at least one key, and no empty ones")
        self._keys = tuple(MacKey(key) for key in keys)

    def __repr__(self) -> str:  # keys do not belong into logs
        return f"KeyRing({len(self._keys)} keys)"

    def sign(self, tag: int, data: bytes, context: Parts) -> bytes:
        """The 32 bytes that vouch for ``data`` under ``tag`` in this context."""
        return self._keys[0].digest(_signed_text(tag, data, context))

    def verifies(self, signature: bytes, tag: int, data: bytes, context: Parts) -> bool:
        """Whether any of the keys made this signature."""
        text = _signed_text(tag, data, context)
        if hmac.compare_digest(signature, self._keys[0].digest(text)):
            return True
        return any(hmac.compare_digest(signature, key.digest(text)) for key in self._keys[1:])


def _signed_text(tag: int, data: bytes, context: Parts) -> bytes:
    return _PURPOSES[tag] + joined(context) + data


def joined(context: Parts) -> bytes:
    """The parts of a context as bytes that say where each begins: ("ab", "c") must not sign for ("a", "bc")."""
    if type(context) is bytes:
        return context
    parts: bytes = Packer(unicode_errors="surrogatepass", buf_size=_USUAL_CONTEXT_BYTES).pack(tuple(context))
    return parts


class SharedContext:
    """Contexts that differ in an id only, as those of the calls of a map do: what they share is joined once.

    Args:
        before: the parts before the id.
        after: the parts behind it; no more than 14 in all.

    >>> SharedContext(("call", "order"), (b"meta",)).of("an id") == joined(("call", "order", "an id", b"meta"))
    True
    """

    __slots__ = ("_after", "_before", "_head", "_tail")

    def __init__(self, before: Sequence[str | bytes], after: Sequence[str | bytes]) -> None:
        if len(before) + 1 + len(after) > _MOST_PARTS:
            raise ValueError(f"a context of more than {_MOST_PARTS} parts cannot be shared")
        self._before, self._after = before, after
        self._tail = joined(after)[1:]  # without how many there are
        whole = joined((*before, "i" * _ID_BYTES, *after))
        self._head = whole[: len(whole) - len(self._tail) - _ID_BYTES]

    def of(self, its_id: str) -> bytes:
        """The context of one of them, joined."""
        name = its_id.encode("utf-8", "surrogatepass")
        if len(name) != _ID_BYTES:  # it says how long it is in another way
            return joined((*self._before, its_id, *self._after))
        return self._head + name + self._tail


def _no_key_ring() -> KeyRing | None:
    return None


_provider: Callable[[], KeyRing | None] = _no_key_ring


def set_key_ring(provider: Callable[[], KeyRing | None]) -> None:
    """Say where the keys come from.

    Args:
        provider: Returns the key ring, or ``None`` when there is no key. Called each time something is signed or a
            signature is met; it should remember its answer.

    >>> set_key_ring(lambda: KeyRing([b"a secret of at least 32 bytes ..."]))
    >>> set_key_ring(lambda: None)
    """
    global _provider
    _provider = provider


def key_ring() -> KeyRing | None:
    """The keys of this process, or ``None``: then nothing is pickled and no pickle is read."""
    return _provider()


def signed(tag: int, data: bytes, context: Parts) -> bytes:
    """The data behind its signature.

    Raises:
        SerializationError: there is no key here.
    """
    ring = key_ring()
    if ring is None:
        raise SerializationError("a body cannot be signed, because there is no secret key: set ORCHESTRATOR_SECRET_KEY")
    return ring.sign(tag, data, context) + data


def verified(tag: int, signed: bytes, context: Parts) -> bytes:
    """The data behind a good signature.

    Raises:
        UntrustedPayload: there is no key here, or the signature was not made by one of ours for this context.
    """
    ring = key_ring()
    if ring is None:
        raise UntrustedPayload(_WITHOUT_A_KEY)
    signature, data = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not ring.verifies(signature, tag, data, context):
        raise UntrustedPayload(_WRONG_SIGNATURE)
    return data
