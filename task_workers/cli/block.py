"""``orchestrator block``: blocks and their types. No secret is ever shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from task_workers.cli.block_type import command as types
from task_workers.cli.deployment_table import iso_text
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import as_json, ask_on_a_terminal, echo_json, echo_table, json_or_text, say, with_yes

if TYPE_CHECKING:
    from orchestrator.blocks.record import BlockRecord
    from orchestrator.client.fleet import Fleet

HEADS = ("BLOCK", "TYPE", "SECRETS", "WRITTEN", "ID")
DROP = ("ID", "SECRETS", "TYPE")  # on a narrow terminal, in this order


@click.group("block")
def command() -> None:
    """Blocks: settings of the outside world under names, with secrets that are always encrypted.

    \b
    orchestrator block ls
    orchestrator block inspect secret/api-key
    """


command.add_command(types)


@command.command("ls")
@click.option("--type", "-t", "slug", metavar="SLUG", help="Only those of a type.")
@as_json
def list_blocks(slug: str | None, as_json: bool) -> None:
    """List blocks, what was written last first."""
    from orchestrator.blocks.catalogue import all_types
    from orchestrator.blocks.lookup import every_block, find_type

    with the_fleet() as fleet:
        found = [record for record in every_block(fleet.broker) if record.name and slug in (None, record.slug)]
        if not found and slug is not None and slug not in [one.slug for one in all_types(fleet)]:
            find_type(fleet.broker, slug)  # which says that there is none
        if as_json:
            return echo_json([_json_of(fleet, record) for record in found])
        if not found and slug is not None:
            return say(f"there is no block of type {slug} yet: orchestrator block create {slug} NAME")
        if not found:
            return say("there is no block yet: orchestrator block create TYPE NAME, or .save(NAME) in Python")
        return echo_table(HEADS, [_row_of(fleet, record) for record in found], DROP)


@command.command()
@click.argument("name")
@as_json
def inspect(name: str, as_json: bool) -> None:
    """Show a block: TYPE/NAME, an id, or a name that one type alone has. Secrets are stars."""
    from orchestrator.blocks.lookup import find_block

    with the_fleet() as fleet:
        facts = _json_of(fleet, find_block(fleet.broker, name))
    if as_json:
        return echo_json(facts)
    for key, value in facts.items():
        if key != "data" and value is not None:
            say(f"{key}: {value}")
    for key, value in facts["data"].items():
        say(f"  {key}: {value if isinstance(value, str) else json.dumps(value)}")


@command.command()
@click.argument("name")
@with_yes
def delete(name: str, yes: bool) -> None:
    """Delete a block: TYPE/NAME, an id, or a name that one type alone has."""
    from orchestrator.blocks.editing import delete_block
    from orchestrator.blocks.lookup import find_block

    with the_fleet() as fleet:
        record = find_block(fleet.broker, name)
        ask_on_a_terminal(f"delete the block {record.full_name}?", yes)
        delete_block(fleet, record)
    say(f"{record.full_name} is deleted")


@command.command()
@click.argument("type_slug", metavar="TYPE")
@click.argument("name")
@click.option("-p", "--param", "params", multiple=True, metavar="FIELD=VALUE", help="A field; JSON, else text.")
@click.option("--params", "whole", metavar="JSON|-", help="All fields as a JSON object; -: from standard input.")
@click.option("--overwrite", is_flag=True, help="Change one that is there: fields that are not given stay.")
def create(type_slug: str, name: str, params: tuple[str, ...], whole: str | None, overwrite: bool) -> None:
    """Make a block. A secret that is not given is asked for on a terminal, where it is not shown.

    \b
    orchestrator block create secret api-key
    echo '{"value": {"bucket": "lake"}}' | orchestrator block create json lake --params -
    """
    from orchestrator.blocks.catalogue import keep_type, type_and_schema
    from orchestrator.blocks.drafting import drafted
    from orchestrator.blocks.editing import check_block_name, write_contents
    from orchestrator.blocks.lookup import blocks_by_id
    from orchestrator.blocks.record import BlockRecord, block_id_of
    from orchestrator.errors import ParameterTypeError

    given = _given(params, whole)
    with the_fleet() as fleet:
        block_type, schema = type_and_schema(fleet, type_slug)
        try:
            block_id = block_id_of(fleet.settings.namespace, block_type.slug, check_block_name(name))
            before = blocks_by_id(fleet.broker, [block_id])[0] if overwrite else None
            if before is None:
                given |= _asked_for(schema.fields, given)
            record, contents = drafted(schema, given, before or BlockRecord(block_id, block_type.slug, name))
        except (ParameterTypeError, ValueError) as error:
            raise click.UsageError(str(error)) from None
        keep_type(fleet, block_type.slug)
        expected = before.generation if before is not None else None
        write_contents(fleet, record, contents, overwrite=overwrite, expected=expected)
    say(f"{record.full_name} is saved")


def _given(params: tuple[str, ...], whole: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if whole is not None:
        text = sys.stdin.read() if whole == "-" else whole
        try:
            given = json.loads(text)
        except ValueError:
            raise click.UsageError("--params: not JSON") from None  # its text may be a secret
        if not isinstance(given, dict):
            raise click.UsageError("--params: not a JSON object")
    for text in params:
        field, is_pair, value = text.partition("=")
        if not is_pair:
            raise click.UsageError("--param: write FIELD=VALUE")  # its text may be a secret
        given[field] = json_or_text(value)
    return given


def _asked_for(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The secrets without which there is no block, typed by a person."""
    if not sys.stdin.isatty():
        return {}
    secret, required = schema.get("secret_fields") or [], schema.get("required") or []
    missing = [field for field in required if field in secret and field not in given]
    return {field: click.prompt(field, hide_input=True, confirmation_prompt=True) for field in missing}


@command.command()
@click.option("-m", "--module", metavar="MODULE", help="Of a module: orchestrator.blocks.notifications")
@click.option("-f", "--file", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Of a file.")
def register(module: str | None, file: str | None) -> None:
    """Write the block types of a module or file into the store, so that forms and lists have them."""
    from orchestrator.blocks.core import Block
    from orchestrator.blocks.editing import register_class

    if (module is None) == (file is None):
        raise click.UsageError("say which classes: --module MODULE or --file FILE")
    loaded = _loaded(module, file)
    classes = [found for found in vars(loaded).values() if Block.is_block_class(found) and not found.is_interface()]
    if not classes:
        raise click.ClickException(f"there is no block class in {module or file}")
    with the_fleet():
        for cls in dict.fromkeys(classes):
            register_class(cls)
            say(f"{cls.get_block_type_slug()}: {cls.get_block_type_name()}")
    say(
        f"{len(dict.fromkeys(classes))} block types are registered; `orchestrator block create TYPE NAME` makes a block"
    )


def _loaded(module: str | None, file: str | None) -> Any:
    from importlib import import_module

    from orchestrator.runnables.module_loading import module_of_file

    if module is None:
        return module_of_file(Path(str(file)))
    name = f"orchestrator.{module.removeprefix('prefect.')}" if module.startswith("prefect.blocks") else module
    try:
        return import_module(name)
    except ImportError as error:
        raise click.ClickException(f"{name} cannot be imported: {error}") from None


@command.command()
def rekey() -> None:
    """Encrypt all secrets with the first key of ORCHESTRATOR_ENCRYPTION_KEY, so that older keys can be left out.

    Exits with 1 if a secret cannot be opened with any of the keys; it stays as it is.
    """
    from orchestrator.blocks.rekeying import rekey as rekey_all

    with the_fleet() as fleet:
        done = rekey_all(fleet)
    say(f"{done.secrets} secrets of {done.blocks} blocks are encrypted with the key in use now")
    if done.unreadable:
        raise click.ClickException(
            f"{len(done.unreadable)} blocks cannot be opened with the keys that are here, and stay as they are: "
            + ", ".join(done.unreadable)
        )


def _row_of(fleet: Fleet, record: BlockRecord) -> tuple[str, ...]:
    return (
        record.full_name,
        record.slug,
        _secrets(fleet, record),
        iso_text(record.written_at_ms / 1000) or "-",
        record.id,
    )


def _secrets(fleet: Fleet, record: BlockRecord) -> str:
    from orchestrator.blocks.views import without_key

    if record.trouble:
        return f"unreadable: {record.trouble}"
    missing = without_key(record, fleet.secrets_ring()) if record.sealed else 0
    return f"{len(record.sealed)}" + (f", {missing} without their key" if missing else "")


def _json_of(fleet: Fleet, record: BlockRecord) -> dict[str, Any]:
    from orchestrator.blocks.views import data_shown

    ring = fleet.secrets_ring() if record.sealed else None
    return {
        "id": record.id,
        "block": record.full_name,
        "block_type_slug": record.slug,
        "name": record.name or None,
        "created": iso_text(record.created_at),
        "updated": iso_text(record.written_at_ms / 1000),
        "secrets": _secrets(fleet, record),
        "trouble": record.trouble or None,
        "data": data_shown(record, ring),
    }
