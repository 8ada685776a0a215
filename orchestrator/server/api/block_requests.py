"""What clients send about blocks, as Prefect's clients write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.blocks.record import BlockSchema, BlockType
from orchestrator.server.api.definitions import Offset
from orchestrator.server.api.filters import BoolFilter, IdFilter, NameFilter
from orchestrator.server.api.requests import Filter, Limit, Model, Names
from orchestrator.server.queries.blocks import BlockView

Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,200}$")]
Text = Annotated[str, Field(max_length=20_000)]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Data = Annotated[dict[str, Any], Field(description="The fields; stars stand for a secret that stays as it is")]


class WithSecrets(Model):
    """Whether secrets are wanted, which nobody may have over HTTP."""

    include_secrets: Annotated[bool, Field(strict=False)] = False  # of an address: it is text there


class BlockTypeFilter(Filter):
    """Which types."""

    name: NameFilter | None = None
    slug: NameFilter | None = None

    def fits(self, one: BlockType | None) -> bool:
        """Whether it is wanted."""
        if one is None:
            return self.name is None and self.slug is None
        return (self.name is None or self.name.fits(one.name)) and (self.slug is None or self.slug.fits(one.slug))


class CapabilitiesFilter(Filter):
    """All of these."""

    all_: Names | None = None

    def fits(self, capabilities: Sequence[str]) -> bool:
        """Whether something with these is wanted."""
        return self.all_ is None or set(self.all_) <= set(capabilities)


class BlockSchemaFilter(Filter):
    """Which schemas."""

    block_type_id: IdFilter | None = None
    block_capabilities: CapabilitiesFilter | None = None
    id: IdFilter | None = None
    version: NameFilter | None = None

    def fits(self, one: BlockSchema | None, type_id: str | None) -> bool:
        """Whether it is wanted."""
        if one is None:
            return all(wanted is None for wanted in (self.block_capabilities, self.id, self.version)) and (
                self.block_type_id is None or self.block_type_id.fits(type_id)
            )
        return (
            (self.block_type_id is None or self.block_type_id.fits(type_id))
            and (self.block_capabilities is None or self.block_capabilities.fits(one.capabilities))
            and (self.id is None or self.id.fits(one.id))
            and (self.version is None or self.version.fits(one.version))
        )


class BlockDocumentFilter(Filter):
    """Which blocks; unless it says otherwise, those with names."""

    id: IdFilter | None = None
    is_anonymous: BoolFilter | None = None
    block_type_id: IdFilter | None = None
    name: NameFilter | None = None

    def fits(self, view: BlockView) -> bool:
        """Whether it is wanted."""
        record, type_id = view.record, view.type.id if view.type is not None else None
        anonymous = self.is_anonymous or BoolFilter(eq_=False)
        return (
            anonymous.fits(not record.name)
            and (self.id is None or self.id.fits(record.id))
            and (self.block_type_id is None or self.block_type_id.fits(type_id))
            and (self.name is None or self.name.fits(record.name))
        )


class TypesQuery(Model):
    """Which types, and how many."""

    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None
    limit: Limit | None = None
    offset: Offset = 0


class SchemasQuery(Model):
    """Which schemas, and how many."""

    block_schemas: BlockSchemaFilter | None = None
    limit: Limit | None = None
    offset: Offset = 0


class BlocksQuery(Model):
    """Which blocks; what is left out means all."""

    block_documents: BlockDocumentFilter | None = None
    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None

    def fits(self, view: BlockView) -> bool:
        """Whether it is wanted."""
        return (
            (self.block_documents or BlockDocumentFilter()).fits(view)
            and (self.block_types is None or self.block_types.fits(view.type))
            and (
                self.block_schemas is None
                or self.block_schemas.fits(view.schema, view.type.id if view.type is not None else None)
            )
        )


class BlocksList(BlocksQuery):
    """Which, in which order, and how many."""

    include_secrets: bool = False
    limit: Limit | None = None
    offset: Offset | None = None
    sort: Literal["NAME_DESC", "NAME_ASC", "BLOCK_TYPE_AND_NAME_ASC"] | None = None
    block_schema_type: Text | None = Field(default=None, description="Slug of their type; Prefect's clients send it")

    def fits(self, view: BlockView) -> bool:
        """Whether it is wanted."""
        slug = self.block_schema_type
        return super().fits(view) and (slug is None or (view.type is not None and view.type.slug == slug))


class BlockTypeCreate(Model):
    """A new type."""

    name: Title
    slug: Name
    logo_url: Text | None = None
    documentation_url: Text | None = None
    description: Text | None = None
    code_example: Text | None = None


class BlockTypeUpdate(Model):
    """Texts of a type that change."""

    logo_url: Text | None = None
    documentation_url: Text | None = None
    description: Text | None = None
    code_example: Text | None = None


class BlockSchemaCreate(Model):
    """A schema of a type."""

    fields: dict[str, Any]
    block_type_id: str
    capabilities: Names = Field(default_factory=list)
    version: Title = "non-versioned"


class BlockDocumentCreate(Model):
    """A new block."""

    name: Name | None = None
    data: Data = Field(default_factory=dict)
    block_schema_id: str | None = None
    block_type_id: str
    is_anonymous: bool = False


class BlockDocumentUpdate(Model):
    """Fields of a block that change."""

    block_schema_id: str | None = None
    data: Data
    merge_existing_data: bool = Field(default=True, description="Fields that are not given stay")
