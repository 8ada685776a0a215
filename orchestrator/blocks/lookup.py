"""Blocks, their types and schemas in the store: found by name or id, and listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.base import Broker
from brokers.records import in_portions
from orchestrator.blocks.errors import BlockNotFound
from orchestrator.blocks.record import (
    BLOCK,
    BLOCK_SCHEMA,
    BLOCK_TYPE,
    BlockRecord,
    BlockSchema,
    BlockType,
    record_of,
    schema_id_of,
    schema_record_of,
    type_of,
)
from orchestrator.deployments.names import is_id
from orchestrator.errors import ObjectNotFound

MOST: Final = 1000


def find_block(broker: Broker, text: str) -> BlockRecord:
    """A block by ``slug/name``, by its id, or by a name that one type alone has.

    Raises:
        BlockNotFound: there is none, or several have that name; the message lists them. BrokerError: no answer.
    """
    if is_id(text) and (found := blocks_by_id(broker, [text])[0]) is not None:
        return found
    names = [text] if "/" in text else [f"{one.slug}/{text}" for one in stored_types(broker)]
    ids = [block_id for block_id in broker.documents.find(BLOCK, names) if block_id is not None] if names else []
    there = [record for record in blocks_by_id(broker, ids) if record is not None]
    if len(there) > 1:
        raise BlockNotFound(f"several blocks are called {text!r}: {', '.join(one.full_name for one in there)}")
    if not there:
        raise BlockNotFound(f"Block {text!r} not found! Those that are there: orchestrator block ls")
    return there[0]


def blocks_by_id(broker: Broker, ids: Sequence[str]) -> list[BlockRecord | None]:
    """Blocks by their ids. Raises BrokerError."""
    return [record_of(document) for document in broker.documents.read(BLOCK, ids)] if ids else []


def every_block(broker: Broker) -> list[BlockRecord]:
    """All of them, those that were written last first. Raises BrokerError."""
    found = [
        record
        for ids in in_portions(broker.documents.newest(BLOCK, limit=None)[1], MOST)
        for record in blocks_by_id(broker, ids)
    ]
    return [record for record in found if record is not None]


def stored_types(broker: Broker) -> list[BlockType]:
    """The types that blocks or programs have brought. Raises BrokerError."""
    _, ids = broker.documents.newest(BLOCK_TYPE, 0, MOST)
    return [found for document in broker.documents.read(BLOCK_TYPE, ids) if (found := type_of(document))] if ids else []


def find_type(broker: Broker, slug: str) -> BlockType:
    """A type by its slug or id.

    Raises:
        ObjectNotFound: there is none. BrokerError: the server does not answer.
    """
    found = type_by_slug(broker, slug)
    if found is None and is_id(slug):
        found = type_of(broker.documents.read(BLOCK_TYPE, [slug])[0])
    if found is None:
        raise ObjectNotFound(f"Block type {slug!r} not found! Those that are there: orchestrator block type ls")
    return found


def type_by_slug(broker: Broker, slug: str) -> BlockType | None:
    """A type by its slug; ``None`` if there is none. Raises BrokerError."""
    (type_id,) = broker.documents.find(BLOCK_TYPE, [slug])
    return type_of(broker.documents.read(BLOCK_TYPE, [type_id])[0]) if type_id is not None else None


def schema_by_checksum(broker: Broker, namespace: str, slug: str, checksum: str) -> BlockSchema | None:
    """A schema of a type; ``None`` if it is not there. Raises BrokerError."""
    schema_id = schema_id_of(namespace, slug, checksum)
    return schema_record_of(broker.documents.read(BLOCK_SCHEMA, [schema_id])[0])


def stored_schemas(broker: Broker) -> list[BlockSchema]:
    """All schemas of all types, those that were written last first. Raises BrokerError."""
    _, ids = broker.documents.newest(BLOCK_SCHEMA, 0, MOST)
    documents = broker.documents.read(BLOCK_SCHEMA, ids) if ids else []
    return [found for document in documents if (found := schema_record_of(document)) is not None]
