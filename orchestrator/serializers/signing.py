"""Signatures: who may send us pickles.

A body that holds a pickle is signed with HMAC-SHA256, and the signature covers where the body belongs (its *context*:
task, queue, run id, ...). So a body is worth nothing under another call, and nothing without the key.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from orchestrator.errors import UntrustedPayload

Context: TypeAlias = Callable[[], Sequence[str | bytes]]
"""Where a body belongs. A callable, because most bodies are not signed and never ask."""

SIGNATURE_BYTES: Final = 32
_PURPOSE: Final = b"orchestrator body 1"

_WITHOUT_A_KEY = (
    "this body is signed, because it holds pickled objects, and this process has no key to check it: "
    "set ORCHESTRATOR_SECRET_KEY to the same value on every client and worker"
)
_WRONG_SIGNATURE = (
    "the signature of this body does not fit: it was made with another ORCHESTRATOR_SECRET_KEY, "
    "changed on the way, or moved here from another call"
)


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
        self._keys = tuple(bytes(key) for key in keys)

    def __repr__(self) -> str:  # keys do not belong into logs
        return f"KeyRing({len(self._keys)} keys)"

    def sign(self, tag: int, data: bytes, context: Sequence[str | bytes]) -> bytes:
        """The 32 bytes that vouch for ``data`` under ``tag`` in this context."""
        return _digest(self._keys[0], _head(tag, context), data)

    def verifies(self, signature: bytes, tag: int, data: bytes, context: Sequence[str | bytes]) -> bool:
        """Whether any of the keys made this signature."""
        head = _head(tag, context)
        return any(hmac.compare_digest(signature, _digest(key, head, data)) for key in self._keys)


def _head(tag: int, context: Sequence[str | bytes]) -> bytes:
    # Every part goes with its length: ("ab", "c") must not sign for ("a", "bc").
    parts = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else bytes(part) for part in context]
    lengths_and_parts = [len(part).to_bytes(8, "big") + part for part in parts]
    return b"".join((_PURPOSE, bytes((tag,)), len(parts).to_bytes(4, "big"), *lengths_and_parts))


def _digest(key: bytes, head: bytes, data: bytes) -> bytes:
    code = hmac.new(key, head, "sha256")
    code.update(data)
    return code.digest()


def _no_key_ring() -> KeyRing | None:
    return None


_provider: Callable[[], KeyRing | None] = _no_key_ring


def set_key_ring(provider: Callable[[], KeyRing | None]) -> None:
    """Say where the keys come from.

    Args:
        provider: Returns the key ring, or ``None`` when there is no key. Called each time a pickle is met, never for
            plain calls; it should remember its answer.

    >>> set_key_ring(lambda: KeyRing([b"a secret of at least 32 bytes ..."]))
    >>> set_key_ring(lambda: None)
    """
    global _provider
    _provider = provider


def key_ring() -> KeyRing | None:
    """The keys of this process, or ``None``: then nothing is pickled and no pickle is read."""
    return _provider()


def verified(tag: int, signed: bytes, context: Context) -> bytes:
    """The data behind a good signature.

    Raises:
        UntrustedPayload: there is no key here, or the signature was not made by one of ours for this context.
    """
    ring = key_ring()
    if ring is None:
        raise UntrustedPayload(_WITHOUT_A_KEY)
    signature, data = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not ring.verifies(signature, tag, data, context()):
        raise UntrustedPayload(_WRONG_SIGNATURE)
    return data
