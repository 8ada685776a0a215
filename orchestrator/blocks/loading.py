"""Blocks from the store: the class that this program has gets the values that are stored."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from pydantic import ValidationError

from orchestrator.blocks import registry
from orchestrator.blocks.contents import MOST_NESTED, SecretValue, at, put, text_of
from orchestrator.blocks.core import Block
from orchestrator.blocks.editing import delete_block
from orchestrator.blocks.errors import BlockLoadError, BlockNotFound
from orchestrator.blocks.lookup import blocks_by_id, find_block, type_by_slug
from orchestrator.blocks.record import BlockRecord
from orchestrator.blocks.schema import Path, blocks_in, key_of
from orchestrator.blocks.sealing import opened
from orchestrator.blocks.stored_form import StoredBlock, stored_form
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.deployments.names import is_id
from orchestrator.errors import SerializationError

B = TypeVar("B", bound=Block)


def load_block(cls: type[B], name: str, validate: bool) -> B:
    """See :meth:`orchestrator.blocks.core.Block.load`."""
    fleet = current_fleet()
    return cast(B, block_of(fleet, _find(cls, name, fleet), cls, validate))


def load_by_reference(cls: type[B], ref: str | UUID | Mapping[str, Any], validate: bool) -> B:
    """See :meth:`orchestrator.blocks.core.Block.load_from_ref`."""
    fleet = current_fleet()
    if isinstance(ref, Mapping) and isinstance(slug := ref.get("block_document_slug"), str):
        return cast(B, block_of(fleet, _find(cls, slug, fleet), cls, validate))
    wanted = ref.get("block_document_id") if isinstance(ref, Mapping) else ref
    if not is_id(str(wanted)):
        raise ValueError(f"{ref!r} refers to no block: an id, or {{'block_document_id': id}}")
    (record,) = blocks_by_id(fleet.broker, [str(wanted)])
    if record is None:
        raise BlockNotFound(f"there is no block with the id {wanted}")
    return cast(B, block_of(fleet, record, cls, validate))


def delete_named(cls: type[Block], name: str) -> None:
    """See :meth:`orchestrator.blocks.core.Block.delete`."""
    fleet = current_fleet()
    delete_block(fleet, _find(cls, name, fleet))


def _find(cls: type[Block], name: str, fleet: Fleet) -> BlockRecord:
    if cls.is_interface() or "/" in name:
        return find_block(fleet.broker, name)
    return find_block(fleet.broker, f"{cls.get_block_type_slug()}/{name}")


def block_of(fleet: Fleet, record: BlockRecord, cls: type[Block], validate: bool = True, depth: int = 0) -> Block:
    """A block of what is stored.

    Args:
        fleet: whose.
        record: what is stored.
        cls: the class that is wanted; one that others build on: whichever this process has for its type.
        validate: see :meth:`orchestrator.blocks.core.Block.load`.
        depth: how many blocks are around it.
    """
    if record.trouble:
        raise BlockLoadError(f"the block {record.full_name!r} cannot be read: {record.trouble}")
    if depth > MOST_NESTED:
        raise BlockLoadError(f"the block {record.full_name!r} is nested too deeply: it contains itself")
    chosen = _class_for(fleet, record.slug, cls)
    secrets = secrets_of(fleet, record)
    data = record.contents().data
    for path, secret in secrets.items():
        put(data, path, secret.hidden() if issubclass(chosen, StoredBlock) else secret.wrapped())
    inside = _blocks_inside(fleet, record, chosen, data, validate, depth)
    for path in sorted(inside, key=len):
        put(data, path, inside[path])
    block = _constructed(chosen, record, data, secrets, validate)
    block._block_document_id, block._block_document_name = UUID(record.id), record.name or None
    block._block_generation, block._is_anonymous = record.generation, not record.name
    return block


def _class_for(fleet: Fleet, slug: str, cls: type[Block]) -> type[Block]:
    """The class of a type: the one that is asked for, else what this process has under its slug."""
    if not cls.is_interface() and cls.get_block_type_slug() == slug:
        return cls
    found = registry.class_of(slug)
    if found is None and cls.__name__ == "Block":
        block_type = type_by_slug(fleet.broker, slug)
        return stored_form(slug, block_type.module if block_type is not None else "")
    if found is None or not issubclass(found, cls):
        raise BlockLoadError(
            f"a block of the type {slug!r} is no {cls.__name__}: "
            + ("import the module that defines its class" if found is None else "load it with Block.load")
        )
    return found


def secrets_of(fleet: Fleet, record: BlockRecord) -> dict[Path, SecretValue]:
    """The secrets of a block, decrypted, by their places. Raises SerializationError: one cannot be had here."""
    ring = fleet.secrets_ring() if record.sealed else None
    found = {}
    for path, data in record.sealed.items():
        try:
            found[path] = opened(ring, record.id, path, data)
        except SerializationError as error:
            raise type(error)(f"the secret {text_of(path)!r} of {record.full_name!r}: {error}") from None
    return found


def _blocks_inside(
    fleet: Fleet, record: BlockRecord, cls: type[Block], data: dict[str, Any], validate: bool, depth: int
) -> dict[Path, Block]:
    """The blocks of its fields; those that are innermost are made first and are parts of the others."""
    wanted = {
        key_of(name, field): {one.get_block_type_slug(): one for one in blocks_in(field.annotation)}
        for name, field in cls.model_fields.items()
    }
    found: dict[Path, Block] = {}
    records = blocks_by_id(fleet.broker, list(record.references.values()))
    for (path, block_id), inner in zip(record.references.items(), records, strict=True):
        if inner is None:
            raise BlockNotFound(
                f"the block {record.full_name!r} has another one in its field {text_of(path)!r}, which is gone "
                f"({block_id})"
            )
        chosen = wanted.get(str(path[0]), {}).get(inner.slug, Block)
        found[path] = block_of(fleet, inner, chosen, validate, depth + 1)
        put(data, path, found[path])
    for path in sorted(record.inline, key=len, reverse=True):
        slug = record.inline[path]
        chosen = _class_for(fleet, slug, wanted.get(str(path[0]), {}).get(slug, Block))
        part = _part(data, path)
        found[path] = _constructed(chosen, record, part, {}, validate)
        put(data, path, found[path])
    return found


def _part(data: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        found = at(data, path)
    except (LookupError, TypeError):
        found = None
    return found if isinstance(found, dict) else {}


def _constructed(
    cls: type[Block], record: BlockRecord, data: dict[str, Any], secrets: dict[Path, SecretValue], validate: bool
) -> Block:
    data = {key: value for key, value in data.items() if isinstance(key, str)}
    trouble: ValidationError | None = None
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        trouble = error
    fields = list(dict.fromkeys(".".join(map(str, one["loc"])) for one in trouble.errors(include_input=False)))
    listed = ", ".join(fields)
    if validate:
        reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in trouble.errors())
        raise BlockLoadError(
            f"the block {record.full_name!r} does not fit the class {cls.__name__} any more ({reasons}): load it with "
            "validate=False, set these fields and save it again"
        )
    warnings.warn(
        f"the block {record.full_name!r} does not fit the class {cls.__name__} any more: set {listed}, and save it "
        "with overwrite=True",
        UserWarning,
        stacklevel=6,
    )
    for path, secret in secrets.items():
        put(data, path, secret.hidden())
    named = {key_of(name, field): name for name, field in cls.model_fields.items()}
    missing = {str(one["loc"][0]) for one in trouble.errors() if one["type"] == "missing" and one["loc"]}
    values = {named.get(key, key): value for key, value in {**dict.fromkeys(missing), **data}.items()}
    return cls.model_construct(**values)
