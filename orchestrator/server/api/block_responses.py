"""Blocks, types and schemas in the shapes of Prefect's API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from orchestrator.blocks.contents import text_of
from orchestrator.blocks.record import BlockSchema, BlockType
from orchestrator.server.api.requests import Model
from orchestrator.server.queries.blocks import BlockView


class BlockTypeAnswer(Model):
    """A type of blocks."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    slug: str
    logo_url: str | None
    documentation_url: str | None
    description: str | None
    code_example: str | None
    is_protected: bool = Field(description="Always false")
    trouble: str | None = Field(description="Why it cannot be read here")


class BlockSchemaAnswer(Model):
    """What the class of a type looked like."""

    id: str
    created: datetime | None
    updated: datetime | None
    checksum: str
    fields: dict[str, Any] = Field(description="JSON schema; `secret_fields` says which fields are secret")
    block_type_id: str | None
    block_type: BlockTypeAnswer | None
    capabilities: list[str]
    version: str


class BlockDocumentAnswer(Model):
    """A block. Secrets are stars."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str | None
    data: dict[str, Any]
    block_schema_id: str | None
    block_schema: BlockSchemaAnswer | None
    block_type_id: str | None
    block_type_name: str | None
    block_type: BlockTypeAnswer | None
    block_document_references: dict[str, Any]
    is_anonymous: bool
    trouble: str | None = Field(description="Why it cannot be read here")


def type_answer(one: BlockType) -> BlockTypeAnswer:
    """A type."""
    moment = _moment(one.written_at_ms / 1000)
    return BlockTypeAnswer(
        id=one.id,
        created=moment,
        updated=moment,
        name=one.name,
        slug=one.slug,
        logo_url=one.logo_url,
        documentation_url=one.documentation_url,
        description=one.description,
        code_example=one.code_example,
        is_protected=False,
        trouble=one.trouble or None,
    )


def schema_answer(one: BlockSchema, block_type: BlockType | None) -> BlockSchemaAnswer:
    """A schema."""
    moment = _moment(one.written_at_ms / 1000)
    return BlockSchemaAnswer(
        id=one.id,
        created=moment,
        updated=moment,
        checksum=one.checksum,
        fields=one.fields,
        block_type_id=block_type.id if block_type is not None else None,
        block_type=type_answer(block_type) if block_type is not None else None,
        capabilities=list(one.capabilities),
        version=one.version,
    )


def block_answer(view: BlockView) -> BlockDocumentAnswer:
    """A block."""
    record, block_type, schema = view.record, view.type, view.schema
    return BlockDocumentAnswer(
        id=record.id,
        created=_moment(record.created_at),
        updated=_moment(record.written_at_ms / 1000),
        name=record.name or None,
        data=view.data,
        block_schema_id=schema.id if schema is not None else None,
        block_schema=schema_answer(schema, block_type) if schema is not None else None,
        block_type_id=block_type.id if block_type is not None else None,
        block_type_name=block_type.name if block_type is not None else None,
        block_type=type_answer(block_type) if block_type is not None else None,
        block_document_references={
            text_of(path): {"block_document": {"id": block_id}} for path, block_id in record.references.items()
        },
        is_anonymous=not record.name,
        trouble=record.trouble or None,
    )


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
