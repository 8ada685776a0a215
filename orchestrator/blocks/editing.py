"""Blocks are written and deleted: as one write each, so that what others read is never half of one."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid4

from brokers.errors import BrokerConflict
from orchestrator.blocks.contents import Contents, contents_of
from orchestrator.blocks.errors import BlockAlreadyExists, InvalidBlockRegistration
from orchestrator.blocks.lookup import blocks_by_id, every_block, schema_by_checksum, stored_schemas, type_by_slug
from orchestrator.blocks.model import BlockModel
from orchestrator.blocks.record import (
    BLOCK,
    BLOCK_SCHEMA,
    BLOCK_TYPE,
    BlockRecord,
    BlockSchema,
    BlockType,
    block_id_of,
    schema_id_of,
    type_id_of,
)
from orchestrator.blocks.schema import blocks_in, checksum_of, schema_of
from orchestrator.blocks.sealing import ring_of, sealed
from orchestrator.client.fleet import Fleet, current_fleet

_NAME: Final = re.compile(r"[a-z0-9-]{1,200}")


def check_block_name(name: object) -> str:
    """A name as it may be. Raises ValueError.

    >>> check_block_name("api-key")
    'api-key'
    >>> check_block_name("API key")
    Traceback (most recent call last):
    ValueError: 'API key' is no name for a block: lowercase letters, digits and dashes, at most 200
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a block: lowercase letters, digits and dashes, at most 200")
    return name


def save_block(block: BlockModel, name: str | None, overwrite: bool) -> str:
    """Write a block; returns its id. See :meth:`orchestrator.blocks.core.Block.save`."""
    cls, fleet = type(block), current_fleet()
    name = name if name is not None else block._block_document_name
    if name is None:
        raise ValueError(f"this {cls.get_block_type_name()} has no name yet: save(NAME)")
    slug = cls.get_block_type_slug()
    block_id = block_id_of(fleet.settings.namespace, slug, check_block_name(name))
    contents = contents_of(block)
    if contents.secrets:
        ring_of(fleet)  # without a key nothing is stored, its type neither
    schema = register_class(cls)
    expected = block._block_generation if str(block._block_document_id) == block_id else None
    record = BlockRecord(block_id, slug, name, schema.checksum)
    written = write_contents(fleet, record, contents, overwrite=overwrite, expected=expected)
    block._block_document_id, block._block_document_name = UUID(block_id), name
    block._block_generation, block._is_anonymous = written.generation, False
    return block_id


def write_contents(
    fleet: Fleet, record: BlockRecord, contents: Contents, *, overwrite: bool, expected: int | None = None
) -> BlockRecord:
    """Write a block as one document.

    Args:
        fleet: whose.
        record: its id, type, name and schema; secrets that are sealed already stay.
        contents: what it consists of now.
        overwrite: replace one that is there.
        expected: the generation of the one that is replaced; ``None``: whatever it is.

    Raises:
        BlockAlreadyExists: there is one. BrokerConflict: somebody else has changed it, or the store is away.
        ConfigurationError: no key for its secrets. SerializationError: a value cannot be stored.
    """
    secrets = dict(record.sealed)
    if contents.secrets:
        ring = ring_of(fleet)
        secrets |= {path: sealed(ring, record.id, path, secret) for path, secret in contents.secrets.items()}
    (before,) = blocks_by_id(fleet.broker, [record.id])
    whole = replace(
        record,
        data=contents.data,
        sealed=secrets,
        references=contents.references,
        inline=contents.inline,
        created_at=before.created_at if before is not None and before.created_at else time.time(),
    )
    full_name = whole.full_name if record.name else ""
    try:
        generation = fleet.broker.documents.write(
            BLOCK, whole.id, whole.document(), name=full_name, expected=expected, only_new=not overwrite
        )
    except BrokerConflict:
        if overwrite or before is None:
            raise
        raise BlockAlreadyExists(
            f"there is a block {whole.full_name!r} already; nothing was written: save it with overwrite=True, or under "
            "another name"
        ) from None
    return replace(whole, generation=generation)


def new_anonymous_id() -> str:
    """The id of a block without a name."""
    return str(uuid4())


# -- types -------------------------------------------------------------------------------------------------------------


def described(namespace: str, cls: type[BlockModel]) -> tuple[BlockType, BlockSchema]:
    """The type and the schema of a class, as they are stored. Raises SerializationError: it has no JSON schema."""
    slug, fields = cls.get_block_type_slug(), schema_of(cls)
    checksum = checksum_of(fields)
    block_type = BlockType(
        type_id_of(namespace, slug),
        slug,
        cls.get_block_type_name(),
        _link(cls._logo_url),
        _link(cls._documentation_url),
        cls.get_description(),
        cls.get_code_example(),
        cls.__module__,
        checksum,
    )
    capabilities = tuple(sorted(cls.get_block_capabilities()))
    schema_id = schema_id_of(namespace, slug, checksum)
    return block_type, BlockSchema(schema_id, slug, checksum, fields, capabilities, cls.get_block_schema_version())


def _link(url: object) -> str | None:
    return None if url is None else str(url)


def register_class(cls: type[BlockModel], seen: frozenset[type] = frozenset()) -> BlockSchema:
    """Write the type and the schema of a class, and of those in its fields, where the store does not have them so.

    Raises:
        InvalidBlockRegistration: no blocks are made of it. SerializationError: it has no JSON schema.
        BrokerError: the server does not answer.
    """
    if cls.is_interface():
        raise InvalidBlockRegistration(f"{cls.__name__} is what other classes build on: blocks are made of those")
    fleet = current_fleet()
    inside = {found for field in cls.model_fields.values() for found in blocks_in(field.annotation)}
    for other in sorted(inside - seen - {cls}, key=lambda one: one.__qualname__):
        if not other.is_interface():
            register_class(other, seen | {cls})
    block_type, schema = described(fleet.settings.namespace, cls)
    documents = fleet.broker.documents
    if not block_type.same_as(type_by_slug(fleet.broker, block_type.slug)):
        documents.write(BLOCK_TYPE, block_type.id, block_type.document(), name=block_type.slug)
    if schema_by_checksum(fleet.broker, fleet.settings.namespace, schema.slug, schema.checksum) is None:
        documents.write(BLOCK_SCHEMA, schema.id, schema.document())
    return schema


def delete_block(fleet: Fleet, record: BlockRecord) -> None:
    """Delete a block. Raises BrokerError."""
    fleet.broker.documents.delete(BLOCK, [record.id])


def delete_type(fleet: Fleet, block_type: BlockType) -> int:
    """Delete a type with its schemas and blocks; returns how many blocks. Raises BrokerError."""
    documents = fleet.broker.documents
    blocks = [record.id for record in every_block(fleet.broker) if record.slug == block_type.slug]
    deleted = documents.delete(BLOCK, blocks)
    documents.delete(BLOCK_SCHEMA, [one.id for one in stored_schemas(fleet.broker) if one.slug == block_type.slug])
    documents.delete(BLOCK_TYPE, [block_type.id])
    return deleted


def write_type(fleet: Fleet, block_type: BlockType) -> BlockType:
    """Write a type that no class of ours describes. Raises BrokerError."""
    generation = fleet.broker.documents.write(BLOCK_TYPE, block_type.id, block_type.document(), name=block_type.slug)
    return replace(block_type, generation=generation)


def write_schema(
    fleet: Fleet, block_type: BlockType, fields: dict[str, Any], capabilities: tuple[str, ...], version: str
) -> BlockSchema:
    """Write a schema of a type, and make it the type's last one. Raises BrokerError, SerializationError."""
    checksum = checksum_of(fields)
    schema_id = schema_id_of(fleet.settings.namespace, block_type.slug, checksum)
    schema = BlockSchema(schema_id, block_type.slug, checksum, fields, capabilities, version)
    fleet.broker.documents.write(BLOCK_SCHEMA, schema.id, schema.document())
    if block_type.checksum != checksum:
        write_type(fleet, replace(block_type, checksum=checksum))
    return schema
