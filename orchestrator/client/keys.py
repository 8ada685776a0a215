"""The keys of this process: those that sign bodies, and those that encrypt them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brokers.private_server import has_encryption_key, private_encryption_key, secret_key
from orchestrator.serializers import CipherRing, KeyRing, Protection
from orchestrator.settings import Settings


class ProcessKeys:
    """Keys as the settings name them.

    Args:
        settings: ``secret_keys``, ``encryption_keys`` and ``require_signature``.
        private_home: directory of the private server, if that is used; its own key signs pickles only, because the
            directory is its user's.
    """

    def __init__(self, settings: Settings, private_home: Path | None) -> None:
        self._signing: Sequence[bytes] = settings.secret_keys
        self._private_home = private_home
        self._ring: KeyRing | None = None
        self._secrets: CipherRing | None = None
        self._encryption: Sequence[bytes] = settings.encryption_keys
        encryption = settings.encryption_keys
        self.protection = Protection(
            bool(settings.secret_keys), settings.require_signature, CipherRing(encryption) if encryption else None
        )

    def ring(self) -> KeyRing | None:
        """The keys that sign: those of the settings, else the private server's own, which is made at the first use."""
        if self._ring is None:
            keys = self._signing
            if not keys and self._private_home is not None:
                keys = [secret_key(self._private_home)]
            self._ring = KeyRing(keys) if keys else None
        return self._ring

    def secrets_ring(self) -> CipherRing | None:
        """The keys that encrypt secrets of blocks: those of the settings, then the private server's own.

        That one is made at the first use where the settings have none. ``None``: there is no key.
        """
        if self._secrets is None:
            keys = list(self._encryption)
            home = self._private_home
            if home is not None and (not keys or has_encryption_key(home)):
                keys.append(private_encryption_key(home))
            self._secrets = CipherRing(keys, bodies_of_a_key=1) if keys else None
        return self._secrets
