"""``orchestrator dead``: calls that were given up, with the reason."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from task_workers.cli.numbers import Whole
from task_workers.cli.run_facts import facts_of, print_facts, state_of, task_run_facts
from task_workers.cli.session import the_fleet, whole_id, whole_ids
from task_workers.cli.terminal import as_json, ask, ask_on_a_terminal, echo_json, echo_table, first_line, say, with_yes

if TYPE_CHECKING:
    from brokers.messages import Record
    from orchestrator.client.fleet import Fleet

ALL = 1_000_000


@click.group("dead")
def command() -> None:
    """Dead letters: calls that killed their worker too often, or cannot be run at all."""


@command.command("ls")
@click.option("-n", "--count", type=Whole(1), default=100, show_default=True, help="At most so many, the newest first.")
@as_json
def list_dead(count: int, as_json: bool) -> None:
    """List dead letters."""
    with the_fleet() as fleet:
        records = _records(fleet, count)
    if as_json:
        return echo_json([task_run_facts(record) for record in records])
    rows = [(record.run_id, record.task or "?", first_line(state_of(record).message)) for record in records]
    if not rows:
        return say("no dead letters")
    return echo_table(("RUN", "TASK", "REASON"), rows)


def _records(fleet: Fleet, count: int) -> list[Record]:
    """The dead letters; names on the list whose records have expired are taken off it."""
    from brokers.messages import Status

    records = fleet.broker.records.read(fleet.broker.dead_letters.newest(count))
    expired = [record.run_id for record in records if record.status == Status.UNKNOWN]
    if expired:
        fleet.broker.dead_letters.forget(expired)
    return [record for record in records if record.status != Status.UNKNOWN]


@command.command()
@click.argument("run_id")
@as_json
def show(run_id: str, as_json: bool) -> None:
    """What is known of a dead letter."""
    with the_fleet() as fleet:
        facts = facts_of(fleet, whole_id(fleet, run_id))
    echo_json(facts) if as_json else print_facts(facts)


@command.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@with_yes
def replay(run_ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Queue dead letters again, under their ids."""
    with the_fleet() as fleet:
        wanted = _wanted(fleet, run_ids, everything)
        if everything and wanted:
            ask_on_a_terminal(f"queue {len(wanted):,} dead letters again?", yes)
        again = fleet.broker.runs.replay(wanted)
    say(f"{len(again)} of {len(wanted)} queued again")
    if len(again) < len(wanted):
        sys.exit(1)


@command.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@with_yes
def purge(run_ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete dead letters for good."""

    with the_fleet() as fleet:
        wanted = _wanted(fleet, run_ids, everything)
        if wanted:
            ask(f"delete {len(wanted):,} dead letter{'s' * (len(wanted) != 1)} for good?", yes)
        gone = fleet.broker.dead_letters.forget(wanted)
    say(f"{gone} deleted")


def _wanted(fleet: Fleet, run_ids: tuple[str, ...], everything: bool) -> list[str]:
    if everything:
        return fleet.broker.dead_letters.newest(ALL)
    if not run_ids:
        raise click.UsageError("which ones? Name runs, or give --all")
    return whole_ids(fleet, run_ids)
