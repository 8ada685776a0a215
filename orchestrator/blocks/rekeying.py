"""Secrets that were encrypted with older keys are encrypted with the one in use."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from brokers.errors import BrokerConflict
from orchestrator.blocks.lookup import blocks_by_id, every_block, stored_schemas, stored_types
from orchestrator.blocks.record import BLOCK, BLOCK_SCHEMA, BLOCK_TYPE, BlockRecord
from orchestrator.blocks.sealing import opened, ring_of, sealed
from orchestrator.client.fleet import Fleet
from orchestrator.errors import SerializationError
from orchestrator.serializers import CipherRing, encloses_as_now

TRIES: Final = 10  # others may write the same block meanwhile


class KeyUse(NamedTuple):
    """How many secrets need which key.

    Attributes:
        current: the one in use; older: another of ours; missing: one that is not here.
    """

    current: int = 0
    older: int = 0
    missing: int = 0


class Rekeyed(NamedTuple):
    """What was done.

    Attributes:
        secrets: so many were encrypted anew, in so many ``blocks``.
        unreadable: names of blocks with a secret that none of our keys opens; they are as they were.
    """

    secrets: int
    blocks: int
    unreadable: tuple[str, ...]


def key_use(fleet: Fleet) -> KeyUse:
    """Which keys the secrets of all blocks need. Raises BrokerError."""
    current = older = missing = 0
    ring: CipherRing | None = None
    for record in every_block(fleet.broker):
        ring = ring or (fleet.secrets_ring() if record.sealed else None)
        for data in record.sealed.values():
            known = ring is not None and ring.knows(data)
            is_current = ring is not None and ring.is_current(data)
            current, older, missing = current + is_current, older + (known and not is_current), missing + (not known)
    return KeyUse(current, older, missing)


def rekey(fleet: Fleet) -> Rekeyed:
    """Encrypt all secrets of blocks with the key in use; what cannot be opened stays as it is.

    Raises:
        ConfigurationError: there is no key. BrokerConflict: others change a block all the time. BrokerError: no answer.
    """
    ring = ring_of(fleet)
    secrets, blocks, unreadable = 0, 0, []
    for record in every_block(fleet.broker):
        done = _rekey(fleet, ring, record)
        secrets, blocks = secrets + max(done, 0), blocks + (done > 0)
        if done < 0:
            unreadable.append(record.full_name)
    _rewrite_descriptions(fleet)
    return Rekeyed(secrets, blocks, tuple(unreadable))


def _rekey(fleet: Fleet, ring: CipherRing, record: BlockRecord) -> int:
    """Returns how many secrets were encrypted anew; -1: one cannot be opened, or the block cannot be read."""
    for _ in range(TRIES):
        try:
            anew = {
                path: sealed(ring, record.id, path, opened(ring, record.id, path, data))
                for path, data in record.sealed.items()
                if not ring.is_current(data)
            }
        except SerializationError:
            return -1
        if record.trouble:
            return -1
        document = replace(record, sealed={**record.sealed, **anew}).document()
        if not anew and _is_current(fleet, BLOCK, record.id):
            return 0
        try:
            fleet.broker.documents.write(BLOCK, record.id, document, expected=record.generation, who="block rekey")
            return len(anew)
        except BrokerConflict:
            (again,) = blocks_by_id(fleet.broker, [record.id])
            if again is None:
                return 0
            record = again
    raise BrokerConflict(f"the block {record.full_name!r} is being changed by others all the time: try again")


def _is_current(fleet: Fleet, kind: str, document_id: str) -> bool:
    (document,) = fleet.broker.documents.read(kind, [document_id])
    return document is None or encloses_as_now(document.fields.get("d", b""))


def _rewrite_descriptions(fleet: Fleet) -> None:
    """Where everything is encrypted, types and schemas are, too: they would need the old key for ever."""
    broker = fleet.broker
    found = [(BLOCK_TYPE, one.id, one.trouble, one.document) for one in stored_types(broker)]
    found += [(BLOCK_SCHEMA, one.id, one.trouble, one.document) for one in stored_schemas(broker)]
    for kind, document_id, trouble, document in found:
        if not trouble and not _is_current(fleet, kind, document_id):
            broker.documents.write(kind, document_id, document(), who="block rekey")
