"""``orchestrator dead``: calls that were given up, with the reason."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from task_workers.cli.at_work import as_json, ask, echo_json, echo_table, first_line, the_fleet, with_yes
from task_workers.cli.run_facts import facts_of, state_of, task_run_facts, tell

if TYPE_CHECKING:
    from brokers.contract import Record
    from orchestrator.fleet import Fleet

EVERYTHING = 1_000_000


@click.group("dead")
def command() -> None:
    """Dead letters: calls that killed their worker too often, or cannot be run at all."""


@command.command("ls")
@click.option("-n", "--count", default=100, show_default=True, help="At most so many, the newest first.")
@as_json
def list_dead(count: int, as_json: bool) -> None:
    """List dead letters."""
    with the_fleet() as fleet:
        records = _records(fleet, count)
    if as_json:
        return echo_json([task_run_facts(record) for record in records])
    rows = [(record.run_id, record.task or "?", first_line(state_of(record).message)) for record in records]
    if not rows:
        return click.echo("no dead letters")
    return echo_table(("RUN", "TASK", "REASON"), rows)


def _records(fleet: Fleet, count: int) -> list[Record]:
    """The dead letters; names on the list whose records have expired are taken off it."""
    from brokers.contract import Status
    from brokers.redis.dead_letters import forget

    records = fleet.broker.read(fleet.broker.dead_letters(count))
    expired = [record.run_id for record in records if record.status == Status.UNKNOWN]
    if expired:
        forget(fleet.broker, expired)
    return [record for record in records if record.status != Status.UNKNOWN]


@command.command()
@click.argument("run_id")
@as_json
def show(run_id: str, as_json: bool) -> None:
    """What is known of a dead letter."""
    with the_fleet() as fleet:
        facts = facts_of(fleet, run_id)
    echo_json(facts) if as_json else tell(facts)


@command.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def replay(run_ids: tuple[str, ...], everything: bool) -> None:
    """Queue dead letters again, under their ids."""
    with the_fleet() as fleet:
        wanted = _wanted(fleet, run_ids, everything)
        again = [
            run_id
            for first in range(0, len(wanted), 500)
            for run_id in fleet.broker.replay(wanted[first : first + 500])
        ]
    click.echo(f"{len(again)} of {len(wanted)} queued again")
    if len(again) < len(wanted):
        sys.exit(1)


@command.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@with_yes
def purge(run_ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete dead letters for good."""
    from brokers.redis.dead_letters import forget

    with the_fleet() as fleet:
        wanted = _wanted(fleet, run_ids, everything or not run_ids)
        if wanted:
            ask(f"delete {len(wanted):,} dead letters for good?", yes)
        gone = forget(fleet.broker, wanted)
    click.echo(f"{gone} deleted")


def _wanted(fleet: Fleet, run_ids: tuple[str, ...], everything: bool) -> list[str]:
    if everything:
        return fleet.broker.dead_letters(EVERYTHING)
    if not run_ids:
        raise click.UsageError("which ones? Name runs, or give --all")
    return list(run_ids)
