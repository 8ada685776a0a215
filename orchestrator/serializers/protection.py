"""What this process does to every body it writes, and what it demands of those it reads.

Without protection only bodies with pickles are signed. The hot path asks :data:`wanted` and :data:`demanded`, two
plain flags, so that nobody pays for what is off.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.errors import EncryptionKeyMissing, UntrustedPayload
from orchestrator.serializers.encryption import CipherRing
from orchestrator.serializers.signing import Parts


class Protection(NamedTuple):
    """``signs``: every body. ``demands``: what is not signed is not read. ``ciphers``: encrypt bodies with these.

    >>> protect(Protection(signs=True))
    >>> protect(NO_PROTECTION)
    """

    signs: bool = False
    demands: bool = False
    ciphers: CipherRing | None = None


NO_PROTECTION: Final = Protection()

_protection = NO_PROTECTION
wanted = False
"""Whether bodies that are written are signed or encrypted."""
demanded = False
"""Whether bodies that are read have to be signed."""


def protect(protection: Protection) -> None:
    """From now on, in this process."""
    global _protection, wanted, demanded
    _protection = protection
    wanted = protection.signs or protection.ciphers is not None
    demanded = protection.demands


def signs() -> bool:
    """Whether every body is signed."""
    return _protection.signs


def ciphers() -> CipherRing | None:
    """What encrypts; ``None``: nothing is encrypted."""
    return _protection.ciphers


def demand_signature() -> None:
    """Refuse a body without a signature, if that is what we do."""
    if demanded:
        raise UntrustedPayload(
            "it is not signed, and ORCHESTRATOR_REQUIRE_SIGNATURE is set here: whoever wrote it has no "
            "ORCHESTRATOR_SECRET_KEY, or it was not written by this project"
        )


def decrypted(sealed: bytes, context: Parts) -> bytes:
    """What an encrypted body holds. Raises EncryptionKeyMissing, UntrustedPayload."""
    if _protection.ciphers is None:
        raise EncryptionKeyMissing(
            "this body is encrypted and this process has no key: "
            "set ORCHESTRATOR_ENCRYPTION_KEY to the same value on every client and worker"
        )
    return _protection.ciphers.decrypt(sealed, context)
