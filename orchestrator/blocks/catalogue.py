"""The types of blocks that people can choose from: those that programs have brought, and ours."""

from __future__ import annotations

from orchestrator.blocks.editing import described, register_class
from orchestrator.blocks.lookup import find_type, schema_by_checksum, stored_schemas, stored_types, type_by_slug
from orchestrator.blocks.record import BlockSchema, BlockType
from orchestrator.blocks.registry import OURS, class_of, our_classes
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.names import is_id
from orchestrator.errors import ObjectNotFound


def all_types(fleet: Fleet) -> list[BlockType]:
    """All types by their slugs. Raises BrokerError."""
    found = {one.slug: one for one, _ in (described(fleet.settings.namespace, cls) for cls in our_classes())}
    found |= {one.slug: one for one in stored_types(fleet.broker) if one.slug not in OURS}
    return [found[slug] for slug in sorted(found)]


def all_schemas(fleet: Fleet) -> list[BlockSchema]:
    """All schemas: those in the store, and those of our own types. Raises BrokerError."""
    found = {schema.id: schema for schema in stored_schemas(fleet.broker)}
    for cls in our_classes():
        schema = described(fleet.settings.namespace, cls)[1]
        found.setdefault(schema.id, schema)
    return list(found.values())


def type_and_schema(fleet: Fleet, slug: str) -> tuple[BlockType, BlockSchema]:
    """A type by its slug or id, and the schema that its class had last.

    Raises:
        ObjectNotFound: there is none, or its schema is gone. BrokerError: the server does not answer.
    """
    if is_id(slug):
        slug = next((one.slug for one in all_types(fleet) if one.id == slug), slug)
    cls = class_of(slug) if slug in OURS else None
    if cls is not None:
        return described(fleet.settings.namespace, cls)
    block_type = find_type(fleet.broker, slug)
    schema = schema_by_checksum(fleet.broker, fleet.settings.namespace, slug, block_type.checksum)
    if schema is None or schema.trouble:
        why = schema.trouble if schema is not None else "it is gone"
        raise ObjectNotFound(
            f"the schema of the block type {slug!r} cannot be read ({why}): register it with "
            f"`orchestrator block register -m {block_type.module or 'MODULE'}`"
        )
    return block_type, schema


def keep_type(fleet: Fleet, slug: str) -> None:
    """See to it that the store has a type of ours before a block of it is written. Raises BrokerError."""
    cls = class_of(slug) if slug in OURS else None
    if cls is not None and type_by_slug(fleet.broker, slug) is None:
        register_class(cls)
