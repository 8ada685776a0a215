"""Encryption of bodies with AES-256-GCM, bound to where the body belongs.

An encrypted body is: 4 bytes that name the key, 24 random bytes, the ciphertext with its 16 bytes of tag. The first
twelve random bytes make a key for this body alone, the others are its nonce: 96 bits of nonce under one key would be
too few for a fleet that sends billions of calls. The context is authenticated with it, so that a body that is moved to
another call, or changed, is not read.
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
_MASTER: Final = MacKey(b"orchestrator encryption 1")


class CipherRing:
    """The keys that encrypt: the first one is used, every one is accepted.

    Args:
        keys: At least one, none of them empty; 32 random bytes each.

    Raises:
        ValueError: no key, or an empty one.
        ConfigurationError: the package ``cryptography`` is not installed.
    """

    __slots__ = ("_by_name", "_first")

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or not all(keys):
            raise ValueError("encryption needs at least one key, and no empty ones")
        _aes_gcm()
        self._by_name = {key.name: key for key in map(_Key, reversed(keys))}
        self._first = _Key(keys[0])

    def __repr__(self) -> str:  # keys do not belong into logs
        return f"CipherRing({len(self._by_name)} keys)"

    def encrypt(self, data: bytes, context: Parts) -> bytes:
        """``data`` for the eyes of those who have the key, in this context."""
        chance = os.urandom(_SALT_BYTES + _NONCE_BYTES)
        cipher = self._first.cipher(chance[:_SALT_BYTES])
        return b"".join((self._first.name, chance, cipher.encrypt(chance[_SALT_BYTES:], data, joined(context))))

    def decrypt(self, sealed: bytes, context: Parts) -> bytes:
        """What was encrypted.

        Raises:
            EncryptionKeyMissing: it was encrypted with a key that is not ours.
            UntrustedPayload: it was changed, or belongs elsewhere.
        """
        key = self._by_name.get(sealed[:_NAME_BYTES])
        if key is None:
            raise EncryptionKeyMissing(
                f"this body is encrypted with the key {sealed[:_NAME_BYTES].hex()}, and this process has "
                f"{', '.join(name.hex() for name in self._by_name)}: add that key to ORCHESTRATOR_ENCRYPTION_KEY here"
            )
        cipher = key.cipher(sealed[_NAME_BYTES : _NAME_BYTES + _SALT_BYTES])
        nonce = sealed[_NAME_BYTES + _SALT_BYTES : _HEAD_BYTES]
        try:
            data: bytes = cipher.decrypt(nonce, sealed[_HEAD_BYTES:], joined(context))
        except Exception:  # InvalidTag, or a nonce that was cut short: either way it is not what was written
            raise UntrustedPayload(
                "this encrypted body was changed on the way, or moved here from another call"
            ) from None
        return data


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
            "ORCHESTRATOR_ENCRYPTION_KEY is set, but the package cryptography is not installed: "
            "pip install 'orchestrator[crypto]'"
        ) from None
    return AESGCM
