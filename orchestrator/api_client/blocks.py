"""Blocks, their types and schemas. Secrets are shown as stars: ``Block.load`` reads them, where the key is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import body_of
from orchestrator.client.schemas.objects import BlockDocument, BlockSchema, BlockType


async def read_block_types(api: Api, /, limit: int | None = None, offset: int = 0) -> list[BlockType]:
    """The types, by their slugs; at most 200 (50 unless ``limit`` says)."""
    return await api.many(BlockType, Request("POST", "/block_types/filter", body_of({}, limit=limit, offset=offset)))


async def read_block_type_by_slug(api: Api, /, slug: str) -> BlockType:
    """A type. Raises ObjectNotFound."""
    return await api.one(
        BlockType, Request("GET", path_of("block_types", "slug", slug)), missing=f"Block type {slug!r} not found!"
    )


async def delete_block_type(api: Api, /, block_type_id: UUID | str) -> None:
    """Forget a type. Raises ObjectNotFound; ApiError: it may not be."""
    await api.ask(Request("DELETE", path_of("block_types", block_type_id)))


async def read_block_schemas(api: Api, /, limit: int | None = None, offset: int = 0) -> list[BlockSchema]:
    """The schemas of all types; at most 200 (50 unless ``limit`` says)."""
    body = body_of({}, limit=limit, offset=offset)
    return await api.many(BlockSchema, Request("POST", "/block_schemas/filter", body))


async def read_block_schema_by_checksum(api: Api, /, checksum: str) -> BlockSchema:
    """A schema. Raises ObjectNotFound."""
    return await api.one(BlockSchema, Request("GET", path_of("block_schemas", "checksum", checksum)))


async def read_block_documents(
    api: Api, /, block_schema_type: str | None = None, offset: int = 0, limit: int | None = None
) -> list[BlockDocument]:
    """The blocks, or those of a type by its slug; at most 200 (50 unless ``limit`` says)."""
    types = {"slug": {"any_": [block_schema_type]}} if block_schema_type is not None else None
    body = body_of({}, block_types=types, offset=offset, limit=limit)
    return await api.many(BlockDocument, Request("POST", "/block_documents/filter", body))


async def read_block_documents_by_type(api: Api, /, block_type_slug: str) -> list[BlockDocument]:
    """The blocks of a type. Raises ObjectNotFound."""
    return await api.many(
        BlockDocument, Request("GET", path_of("block_types", "slug", block_type_slug, "block_documents"))
    )


async def read_block_document(api: Api, /, block_document_id: UUID | str) -> BlockDocument:
    """A block by its id. Raises ObjectNotFound."""
    return await api.one(
        BlockDocument,
        Request("GET", path_of("block_documents", block_document_id)),
        missing=f"Block {str(block_document_id)!r} not found!",
    )


async def read_block_document_by_name(api: Api, /, name: str, block_type_slug: str) -> BlockDocument:
    """A block by its name. Raises ObjectNotFound."""
    return await api.one(
        BlockDocument,
        Request("GET", path_of("block_types", "slug", block_type_slug, "block_documents", "name", name)),
        missing=f"Block '{block_type_slug}/{name}' not found!",
    )


async def create_block_document(api: Api, /, block_document: Mapping[str, Any]) -> BlockDocument:
    """Make a block: ``name``, ``data``, ``block_type_id``, ``block_schema_id``.

    Raises:
        ApiConflict: there is one of that name. ApiError: the data do not fit.
    """
    return await api.one(BlockDocument, Request("POST", "/block_documents/", block_document), creates=True)


async def update_block_document(api: Api, /, block_document_id: UUID | str, block_document: Mapping[str, Any]) -> None:
    """Change the ``data`` of a block; fields that are not given stay. Raises ObjectNotFound, ApiError."""
    await api.ask(Request("PATCH", path_of("block_documents", block_document_id), block_document))


async def delete_block_document(api: Api, /, block_document_id: UUID | str) -> None:
    """Delete a block. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", path_of("block_documents", block_document_id)))
