"""Secrets of blocks as the store keeps them: always encrypted, each bound to its block and its place in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack

from orchestrator.blocks.contents import SecretValue, text_of
from orchestrator.blocks.schema import Path
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError, EncryptionKeyMissing, SerializationError
from orchestrator.serializers import CipherRing

STARS: Final = "********"
MAKE_A_KEY: Final = (
    """export ORCHESTRATOR_ENCRYPTION_KEY="$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\""""
)


def ring_of(fleet: Fleet) -> CipherRing:
    """The keys that encrypt secrets of blocks.

    Raises:
        ConfigurationError: this fleet has none, with the command that makes one.
    """
    ring = fleet.secrets_ring()
    if ring is None:
        raise ConfigurationError(
            "secrets are stored encrypted only, and this fleet has no key: nothing was stored. Make a key, and give it "
            f"to every process that uses blocks: {MAKE_A_KEY}"
        )
    return ring


def sealed(ring: CipherRing, block_id: str, path: Path, secret: SecretValue) -> bytes:
    """A secret encrypted. Raises SerializationError, which does not show it."""
    try:
        data = msgpack.packb([secret.kind, secret.value], unicode_errors="surrogatepass")
    except (TypeError, ValueError, OverflowError) as error:
        reason = type(error).__name__
        raise SerializationError(f"the secret {text_of(path)!r} cannot be stored ({reason})") from None
    return ring.encrypt(data, _context(block_id, path))


def opened(ring: CipherRing | None, block_id: str, path: Path, data: bytes) -> SecretValue:
    """A secret of a block.

    Raises:
        EncryptionKeyMissing: the key that it needs is not here.
        SerializationError: it was changed, moved here from another place, or damaged.
    """
    if ring is None:
        raise EncryptionKeyMissing(
            f"the secret {text_of(path)!r} is encrypted and this process has no key: set "
            "ORCHESTRATOR_ENCRYPTION_KEY as where it was saved"
        )
    plain = ring.decrypt(data, _context(block_id, path))
    try:
        kind, value = msgpack.unpackb(plain, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception:
        raise SerializationError(f"the secret {text_of(path)!r} was written by a newer version") from None
    return SecretValue(str(kind), value)


def sealed_table(secrets: Mapping[Path, bytes]) -> bytes:
    """Encrypted secrets by their places, as a document has them."""
    packed: bytes = msgpack.packb([[list(path), data] for path, data in secrets.items()])
    return packed


def read_table(stored: bytes) -> dict[Path, bytes]:
    """Those; what is damaged is left out."""
    if not stored:
        return {}
    try:
        rows: Any = msgpack.unpackb(stored, strict_map_key=False)
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return {}
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 2 and isinstance(row[1], bytes) and is_path(row[0]):
            found[tuple(row[0])] = row[1]
    return found


def is_path(value: object) -> bool:
    """Whether this is a place in data: at least one key, each a text or a number."""
    return isinstance(value, list) and bool(value) and all(type(part) in (str, int) for part in value)


def _context(block_id: str, path: Path) -> tuple[str | bytes, ...]:
    place: bytes = msgpack.packb(list(path))
    return "block", block_id, place
