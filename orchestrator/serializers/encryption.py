"""Encryption of bodies with AES-256-GCM, bound to where the body belongs.

An encrypted body is: 4 bytes that name the key, 24 random bytes, the ciphertext with its 16 bytes of tag. The first
twelve random bytes make the key of few bodies, which one process writes one after the other, such as the calls of some
blocks; the others are the nonce of this one: 96 bits of nonce under one key would be too few for a fleet that sends
billions of calls. The context is authenticated with it, so that a body that is moved to another call, or changed, is
not read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.errors import ConfigurationError, EncryptionKeyMissing, UntrustedPayload
from orchestrator.serializers.signing import MacKey, Parts, joined

_NAME_BYTES: Final = 4
_SALT_BYTES: Final = 12
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = _NAME_BYTES + _SALT_BYTES + _NONCE_BYTES
BODIES_OF_A_KEY: Final = 1024
"""To make a key costs as much as to encrypt a call. Nonces are random, so that a fork, which has the same key, does no
harm: of two equal ones among so many the odds are 1 to 2 to the power of 77."""
MOST_KEPT: Final = 256  # keys of bodies that were read, a kilobyte each
_MASTER: Final = MacKey(b"orchestrator encryption 1")


class CipherRing:
    """The keys that encrypt: the first one is used, every one is accepted.

    Args:
        keys: At least one, none of them empty; 32 random bytes each.
        bodies_of_a_key: how many bodies may share a key that is derived from these; 1: none.

    Raises:
        ValueError: no key, or an empty one.
        ConfigurationError: the package ``cryptography`` is not installed.
    """

    __slots__ = ("_bodies_of_a_key", "_by_name", "_first", "_kept", "_writing")

    def __init__(self, keys: Sequence[bytes], bodies_of_a_key: int = BODIES_OF_A_KEY) -> None:
        if not keys or not all(keys):
            raise ValueError("encryption needs at least one key, and no empty ones")
        _aes_gcm()
        self._by_name = {key.name: key for key in map(_Key, reversed(keys))}
        self._first = _Key(keys[0])
        self._bodies_of_a_key = bodies_of_a_key
        self._writing: _Writing | None = None
        self._kept: dict[bytes, Any] = {}  # key's name and salt -> cipher, of bodies that were read

    def __repr__(self) -> str:  # keys do not belong into logs
        return f"CipherRing({len(self._by_name)} keys)"

    def encrypt(self, data: bytes, context: Parts) -> bytes:
        """``data`` for the eyes of those who have the key, in this context."""
        writing = self._writing
        if writing is None or writing.left <= 0:
            salt = os.urandom(_SALT_BYTES)
            writing = _Writing(self._first.name + salt, self._first.cipher(salt), self._bodies_of_a_key)
            self._writing = writing
        writing.left -= 1  # by threads at the same moment: a few more than there should be share it
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((writing.head, nonce, writing.cipher.encrypt(nonce, data, joined(context))))

    def knows(self, sealed: bytes) -> bool:
        """Whether the key that this was encrypted with is among them."""
        return sealed[:_NAME_BYTES] in self._by_name

    def is_current(self, sealed: bytes) -> bool:
        """Whether this was encrypted with the first of them."""
        return sealed[:_NAME_BYTES] == self._first.name

    def decrypt(self, sealed: bytes, context: Parts) -> bytes:
        """What was encrypted.

        Raises:
            EncryptionKeyMissing: it was encrypted with a key that is not ours.
            UntrustedPayload: it was changed, or belongs elsewhere.
        """
        head = sealed[: _NAME_BYTES + _SALT_BYTES]
        cipher = self._kept.get(head)
        if cipher is None:
            cipher = self._named(sealed).cipher(head[_NAME_BYTES:])
        nonce = sealed[_NAME_BYTES + _SALT_BYTES : _HEAD_BYTES]
        try:
            data: bytes = cipher.decrypt(nonce, sealed[_HEAD_BYTES:], joined(context))
        except Exception:  # InvalidTag, or a nonce that was cut short: either way it is not what was written
            raise UntrustedPayload(
                "this encrypted body was changed on the way, or moved here from another call"
            ) from None
        if head not in self._kept:  # only now: what others make up takes no place
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[head] = cipher
        return data

    def _named(self, sealed: bytes) -> _Key:
        key = self._by_name.get(sealed[:_NAME_BYTES])
        if key is None:
            raise EncryptionKeyMissing(
                f"this body is encrypted with the key {sealed[:_NAME_BYTES].hex()}, and this process has "
                f"{', '.join(name.hex() for name in self._by_name)}: add that key to ORCHESTRATOR_ENCRYPTION_KEY here"
            )
        return key


class _Writing:
    """The key of the next bodies."""

    __slots__ = ("cipher", "head", "left")

    def __init__(self, head: bytes, cipher: Any, left: int) -> None:
        self.head, self.cipher, self.left = head, cipher, left


class _Key:
    __slots__ = ("_derive", "name")

    def __init__(self, secret: bytes) -> None:
        self._derive = MacKey(_MASTER.digest(secret))
        self.name = self._derive.digest(b"name")[:_NAME_BYTES]

    def cipher(self, salt: bytes) -> Any:
        return _aes_gcm()(self._derive.digest(b"body" + salt))


@functools.cache
def _aes_gcm() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigurationError(
            "something is to be encrypted, but the package cryptography is not installed, though it is one of our "
            "dependencies: pip install cryptography"
        ) from None
    return AESGCM
