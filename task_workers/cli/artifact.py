"""``orchestrator artifact``: what runs left behind, in the words that Prefect's users know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.session import the_fleet
from task_workers.cli.terminal import (
    age_text,
    as_json,
    ask_on_a_terminal,
    echo_json,
    echo_table,
    first_line,
    say,
    with_yes,
)

if TYPE_CHECKING:
    from orchestrator.artifacts.record import ArtifactRecord
    from orchestrator.client.fleet import Fleet

HEADS: Final = ("ID", "KEY", "TYPE", "UPDATED", "DESCRIPTION")
DROP: Final = ("DESCRIPTION", "UPDATED", "TYPE")  # on a narrow terminal, in this order
MOST_ROWS: Final = 1_000  # of a table that is shown whole in JSON
MOST_LINES: Final = 20  # of data that is shown to people


@click.group("artifact")
def command() -> None:
    """Artifacts: markdown, tables, links, progress and pictures that runs have left behind.

    \b
    orchestrator artifact ls
    orchestrator artifact inspect daily-report
    orchestrator artifact delete customer-list
    """


@command.command("ls")
@click.option("--limit", type=Whole(1, 10_000), default=100, show_default=True, help="How many at most.")
@click.option("--all", "-a", "every", is_flag=True, help="Every version, and those without a key.")
@as_json
def list_artifacts(limit: int, every: bool, as_json: bool) -> None:
    """List artifacts by key, the newest version of each; their data is not shown."""
    from orchestrator.artifacts.listing import ArtifactSearch, count, find

    with the_fleet() as fleet:
        search = ArtifactSearch(latest=not every)
        found = find(fleet.broker, search, "CREATED_DESC" if every else "KEY_ASC", limit=limit)
        total = count(fleet.broker, search)
    if as_json:
        return echo_json([_without_data(one) for one in found])
    if not found:
        return say("there is no artifact yet" if every else "there is no artifact with a key yet: --all shows others")
    echo_table(HEADS, [_row_of(one) for one in found], DROP)
    if total > len(found):
        say(f"and {total - len(found):,} more: --limit")


@command.command("inspect")
@click.argument("key")
@click.option("--limit", type=Whole(1, 1000), default=10, show_default=True, help="How many versions at most.")
@as_json
def inspect(key: str, limit: int, as_json: bool) -> None:
    """Show the versions of KEY, the newest first. Of long tables JSON has no rows, but says how many there are."""
    from orchestrator.artifacts.reading import read_many, with_short_table

    with the_fleet() as fleet:
        total, ids = fleet.broker.artifacts.newest(0, limit, key=key) if key else (0, [])
        found = [one for one in read_many(fleet.broker, ids) if one is not None]
        if not found:
            raise click.ClickException(f"Artifact {key!r} not found!")
        found = [with_short_table(fleet.broker, one, MOST_ROWS) for one in found]
    if as_json:
        return echo_json([_facts(one) for one in found])
    for one in found:
        _show(one)
    if total > len(found):
        say(f"and {total - len(found):,} older versions: --limit")


@command.command("delete")
@click.argument("key", required=False)
@click.option("--id", "artifact_id", metavar="ID", help="Delete this version, or one without a key.")
@with_yes
def delete(key: str | None, artifact_id: str | None, yes: bool) -> None:
    """Delete every version of KEY, or the artifact with an id. On a terminal you are asked."""
    if (key is None) == (artifact_id is None):
        raise click.UsageError("say either a key or --id ID")
    with the_fleet() as fleet:
        if key is not None:
            return _delete_key(fleet, key, yes)
        _delete_one(fleet, artifact_id or "", yes)


def _delete_key(fleet: Fleet, key: str, yes: bool) -> None:
    total, _ = fleet.broker.artifacts.newest(0, 0, key=key) if key else (0, [])
    if not total:
        raise click.ClickException(f"Artifact {key!r} not found! One without a key is deleted with --id.")
    ask_on_a_terminal(f"Are you sure you want to delete {total:,} artifact(s) with key {key!r}?", yes)
    say(f"Deleted {fleet.broker.artifacts.delete(keys=[key]):,} artifact(s) with key {key!r}.")


def _delete_one(fleet: Fleet, text: str, yes: bool) -> None:
    from orchestrator.artifacts.names import artifact_id_of
    from orchestrator.artifacts.reading import read_many

    try:
        artifact_id = artifact_id_of(text)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if read_many(fleet.broker, [artifact_id], with_data=False) == [None]:
        raise click.ClickException(f"Artifact with id {artifact_id!r} not found!")
    ask_on_a_terminal(f"Are you sure you want to delete artifact with id {artifact_id!r}?", yes)
    fleet.broker.artifacts.delete([artifact_id])
    say(f"Deleted artifact with id {artifact_id!r}.")


def _row_of(one: ArtifactRecord) -> tuple[str, ...]:
    from datetime import UTC, datetime

    age = age_text((datetime.now(UTC) - one.updated).total_seconds())
    return str(one.id), one.key or "-", one.kind, age, first_line(one.description, 60) or "-"


def _show(one: ArtifactRecord) -> None:
    for name, value in _facts(one).items():
        if value is None or name == "data":
            continue
        say(f"{name}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}")
    if one.table is not None:
        say(f"rows: {one.table.rows:,}, columns: {', '.join(one.table.columns[:20])}")
    if one.image is not None:
        say(f"picture: {one.image.content_type}, {one.image.size:,} bytes")
    data = one.data if isinstance(one.data, str) else json.dumps(one.data, ensure_ascii=False)
    if one.data is not None:
        lines = data.splitlines() or [""]
        say("data:")
        for line in lines[:MOST_LINES]:
            say(f"  {first_line(line, 2_000)}")
        if len(lines) > MOST_LINES:
            say(f"  ... {len(lines) - MOST_LINES:,} more lines: -o json")
    say()


def _without_data(one: ArtifactRecord) -> dict[str, Any]:
    return {name: value for name, value in _facts(one).items() if name != "data"}


def _facts(one: ArtifactRecord) -> dict[str, Any]:
    return {**one.as_json(), **({"trouble": one.trouble} if one.trouble else {})}
