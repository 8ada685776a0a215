"""Blocks and their types: listed, read, written and deleted. No secret is among the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from orchestrator.blocks import catalogue, editing, lookup
from orchestrator.blocks.drafting import drafted
from orchestrator.blocks.record import BLOCK, BLOCK_SCHEMA, BlockRecord, BlockSchema, BlockType, block_id_of
from orchestrator.blocks.views import data_shown
from orchestrator.errors import ObjectNotFound
from orchestrator.server.queries.context import QueryContext


class BlockView(NamedTuple):
    """A block as people see it: secrets are stars."""

    record: BlockRecord
    type: BlockType | None
    schema: BlockSchema | None
    data: dict[str, Any]

    @property
    def written(self) -> datetime:
        """When somebody wrote it last."""
        return datetime.fromtimestamp(min(self.record.written_at_ms, 1 << 42) / 1000, UTC)


class BlockQueries:
    """The blocks of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def types(self) -> list[BlockType]:
        """All types, ours and those of programs, by their slugs."""
        return catalogue.all_types(self._context.fleet)

    def schemas(self) -> list[BlockSchema]:
        """All schemas."""
        return catalogue.all_schemas(self._context.fleet)

    def type_and_schema(self, slug: str) -> tuple[BlockType, BlockSchema]:
        """A type by its slug or id, and its last schema. Raises ObjectNotFound."""
        return catalogue.type_and_schema(self._context.fleet, slug)

    def all(self) -> list[BlockView]:
        """All blocks, what was written last first."""
        return self._views(lookup.every_block(self._context.fleet.broker))

    def get(self, block_id: str) -> BlockView:
        """One by its id. Raises ObjectNotFound."""
        (record,) = lookup.blocks_by_id(self._context.fleet.broker, [block_id])
        if record is None:
            raise ObjectNotFound("There is no such block")
        return self._views([record])[0]

    def named(self, slug: str, name: str) -> BlockView:
        """One by its type and name. Raises ObjectNotFound."""
        return self.get(block_id_of(self._context.fleet.settings.namespace, slug, name))

    def _views(self, records: list[BlockRecord]) -> list[BlockView]:
        types = {one.slug: one for one in self.types()}
        schemas = {(one.slug, one.checksum): one for one in self.schemas()}
        ring = self._context.fleet.secrets_ring() if any(one.sealed for one in records) else None
        return [
            BlockView(one, types.get(one.slug), schemas.get((one.slug, one.checksum)), data_shown(one, ring))
            for one in records
        ]

    # -- changes -------------------------------------------------------------------------------------------------------

    def create(self, slug: str, name: str | None, data: Mapping[str, Any]) -> BlockRecord:
        """Write a new block; without a name it is anonymous.

        Raises:
            ObjectNotFound: no such type. ParameterTypeError: fields do not fit. ValueError: not a name.
            BlockAlreadyExists: there is one. ConfigurationError: no key for its secrets.
        """
        self._context.must_write()
        fleet = self._context.fleet
        block_type, schema = self.type_and_schema(slug)
        if name is None:
            block_id = editing.new_anonymous_id()
        else:
            block_id = block_id_of(fleet.settings.namespace, block_type.slug, editing.check_block_name(name))
        record, contents = drafted(schema, data, BlockRecord(block_id, block_type.slug, name or ""))
        catalogue.keep_type(fleet, block_type.slug)
        return editing.write_contents(fleet, record, contents, overwrite=False)

    def change(
        self, block_id: str, data: Mapping[str, Any], *, merge: bool = True, generation: int | None = None
    ) -> BlockRecord:
        """Change fields of a block; secrets for which stars are sent stay.

        Args:
            block_id: its id.
            data: the fields.
            merge: the others stay.
            generation: that whoever changes it has seen; ``None``: that of now.

        Raises:
            ObjectNotFound: there is none. ParameterTypeError: fields do not fit. BrokerConflict: others changed it.
        """
        self._context.must_write()
        before = self.get(block_id).record
        _, schema = self.type_and_schema(before.slug)
        record, contents = drafted(schema, data, before, merge=merge)
        expected = before.generation if generation is None else generation
        return editing.write_contents(self._context.fleet, record, contents, overwrite=True, expected=expected)

    def delete(self, block_id: str) -> None:
        """Delete a block. Raises ObjectNotFound."""
        self._context.must_write()
        editing.delete_block(self._context.fleet, self.get(block_id).record)

    def write_type(self, block_type: BlockType) -> BlockType:
        """Write a type that another program describes."""
        self._context.must_write()
        return editing.write_type(self._context.fleet, block_type)

    def write_schema(
        self, block_type: BlockType, fields: dict[str, Any], capabilities: list[str], version: str
    ) -> BlockSchema:
        """Write a schema of a type, which is its last one then."""
        self._context.must_write()
        return editing.write_schema(self._context.fleet, block_type, fields, tuple(capabilities), version)

    def delete_type(self, slug: str) -> int:
        """Delete a type with its blocks; returns how many. Raises ObjectNotFound: the store has none."""
        self._context.must_write()
        return editing.delete_type(self._context.fleet, lookup.find_type(self._context.fleet.broker, slug))

    def delete_schema(self, schema_id: str) -> bool:
        """Delete a schema; whether there was one."""
        self._context.must_write()
        return self._context.fleet.broker.documents.delete(BLOCK_SCHEMA, [schema_id]) > 0

    def note_wish_for_secrets(self, what: str) -> None:
        """Note in the audit that somebody has asked for secrets."""
        self._context.fleet.broker.documents.note(BLOCK, what, "asked for secrets over HTTP, refused")


def with_changes(block_type: BlockType, changes: Mapping[str, Any]) -> BlockType:
    """A type with some of its texts changed."""
    return replace(block_type, **changes)
