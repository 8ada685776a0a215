"""``orchestrator block type``: types of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, say, with_yes

if TYPE_CHECKING:
    from orchestrator.blocks.record import BlockType


@click.group("type")
def command() -> None:
    """Types of blocks."""


@command.command("ls")
@as_json
def list_types(as_json: bool) -> None:
    """List the types of blocks: ours, and those that programs have registered."""
    from orchestrator.blocks.catalogue import all_types

    with the_fleet() as fleet:
        found = all_types(fleet)
    if as_json:
        return echo_json([_json_of_type(one) for one in found])
    rows = [
        (one.slug, one.name, one.module or "-", (one.description or one.trouble or "-").partition("\n")[0])
        for one in found
    ]
    return echo_table(("SLUG", "NAME", "MODULE", "DESCRIPTION"), rows, ("MODULE",))


@command.command("inspect")
@click.argument("slug")
@as_json
def inspect_type(slug: str, as_json: bool) -> None:
    """Show a type of blocks with its fields."""
    from orchestrator.blocks.catalogue import type_and_schema

    with the_fleet() as fleet:
        block_type, schema = type_and_schema(fleet, slug)
    facts = _json_of_type(block_type) | {"capabilities": list(schema.capabilities), "schema": schema.fields}
    if as_json:
        return echo_json(facts)
    for key, value in facts.items():
        if key != "schema" and value:
            say(f"{key}: {value if isinstance(value, str) else ', '.join(value)}")
    required, secret = schema.fields.get("required") or (), schema.fields.get("secret_fields") or ()
    for name, field in (schema.fields.get("properties") or {}).items():
        marks = [word for word, holds in (("required", name in required), ("secret", name in secret)) if holds]
        text = str(field.get("description") or field.get("title") or "") if isinstance(field, dict) else ""
        say(f"  {name}{' (' + ', '.join(marks) + ')' if marks else ''}: {text}")


@command.command("delete")
@click.argument("slug")
@with_yes
def delete_type(slug: str, yes: bool) -> None:
    """Delete a type of blocks with all its blocks."""
    from orchestrator.blocks.editing import delete_type as forget
    from orchestrator.blocks.lookup import every_block, find_type

    with the_fleet() as fleet:
        block_type = find_type(fleet.broker, slug)
        blocks = sum(record.slug == block_type.slug for record in every_block(fleet.broker))
        ask_on_a_terminal(f"delete the block type {block_type.slug} with {blocks} blocks?", yes)
        deleted = forget(fleet, block_type)
    say(f"{block_type.slug} is deleted, and {deleted} blocks of it")


def _json_of_type(block_type: BlockType) -> dict[str, Any]:
    return {
        "id": block_type.id,
        "slug": block_type.slug,
        "name": block_type.name,
        "module": block_type.module or None,
        "description": block_type.description,
        "logo_url": block_type.logo_url,
        "documentation_url": block_type.documentation_url,
        "code_example": block_type.code_example,
        "trouble": block_type.trouble or None,
    }


def _row_of(block_type: BlockType) -> tuple[str, ...]:
    text = (block_type.description or block_type.trouble or "-").partition("\n")[0]
    return block_type.slug, block_type.name, block_type.module or "-", text
