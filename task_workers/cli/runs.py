"""``orchestrator runs``: find runs, look at them; actions on them are in ``run_actions``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from task_workers.cli.filters import with_filters, with_whole_ids
from task_workers.cli.numbers import Whole
from task_workers.cli.run_actions import cancel, remove, retry
from task_workers.cli.run_facts import facts_of, log_text, print_facts
from task_workers.cli.session import say_project, the_fleet, whole_id
from task_workers.cli.state_names import refuse_unknown_names
from task_workers.cli.terminal import age_text, as_json, echo_json, echo_table, first_line, refused_values, say

if TYPE_CHECKING:
    from orchestrator.inspection import RunFilter, RunView


@click.group("runs")
def command() -> None:
    """Find runs, look at them, cancel, retry or delete them."""


command.add_command(cancel)
command.add_command(retry)
command.add_command(remove)


@command.command("ls")
@with_filters
@click.option("-n", "--limit", type=Whole(1), default=50, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where an earlier list stopped.")
@as_json
def list_runs(wanted: RunFilter | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List runs, the newest first.

    \b
    orchestrator runs ls --state failed --since 1h
    orchestrator runs ls --task 'shop.*' --text timeout -n 200 --json

    One list looks at a bounded number of runs; when it stops before the end it says with which --cursor to go on.
    """
    from orchestrator.inspection import walk_runs

    with the_fleet() as fleet:
        wanted = with_whole_ids(fleet, wanted)
        with refused_values():
            found = walk_runs(fleet, wanted, limit=limit, cursor=cursor)
        if not found.runs and found.cursor is None:
            refuse_unknown_names(wanted.states if wanted is not None else ())
        if not found.runs:
            say_project(fleet)
    if as_json:
        rows = [run.as_json() for run in found.runs]
        return echo_json({"runs": rows, "cursor": found.cursor, "looked_at": found.looked_at})
    if found.runs:
        echo_table(*table_of_runs(found.runs), DROP)
    else:
        say("no such runs")
    if found.cursor is not None:
        more = f"looked at {found.looked_at:,} runs; older ones: --cursor {found.cursor}"
        say(more, err=True)
    return None


HEADS = ("RUN", "STATE", "TASK", "NAME", "QUEUE", "CREATED", "DUE", "TOOK", "MESSAGE")
DROP = ("QUEUE", "CREATED", "TOOK", "NAME", "MESSAGE", "DUE")  # on a narrow terminal, in this order
OPTIONAL_HEADS = ("NAME", "DUE")  # left out where no run has one


def table_of_runs(runs: Sequence[RunView]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a list of runs."""
    rows = [row_of(run) for run in runs]
    kept = [at for at, head in enumerate(HEADS) if head not in OPTIONAL_HEADS or any(row[at] != "-" for row in rows)]
    return [HEADS[at] for at in kept], [[row[at] for at in kept] for row in rows]


def row_of(run: RunView) -> tuple[str, ...]:
    """A run as a row."""
    from orchestrator.runs.run_ids import default_run_name, short_name

    took = (run.ended - run.started).total_seconds() if run.ended and run.started else None
    return (
        run.id,
        run.state_name,
        run.task if run.task_name == short_name(run.task) else f"{run.task_name} ({run.task})",
        "-" if run.name == default_run_name(run.task_name, run.id) else run.name,
        run.queue,
        f"{run.created.astimezone():%Y-%m-%d %H:%M:%S}" if run.created else "-",
        due_text(run),
        age_text(took),
        first_line(run.message),
    )


def due_text(run: RunView) -> str:
    """When a run that waits for a moment is queued."""
    if run.due is None or run.state_type not in ("SCHEDULED", "PENDING"):
        return "-"
    seconds = (run.due - datetime.now(UTC)).total_seconds()
    return f"in {age_text(seconds)}" if seconds > 0 else "now"


@command.command()
@click.argument("run_id")
@click.option("--logs", is_flag=True, help="Its log lines, too.")
@as_json
def show(run_id: str, logs: bool, as_json: bool) -> None:
    """What is known of a task run or flow run."""
    with the_fleet() as fleet:
        run_id = whole_id(fleet, run_id)
        facts = facts_of(fleet, run_id)
        if logs:
            facts["logs"] = [[line.timestamp, line.level, line.message] for line in fleet.logs.read(run_id)]
    echo_json(facts) if as_json else print_facts(facts)


@command.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@as_json
def logs(run_id: str, follow: bool, as_json: bool) -> None:
    """The kept log lines of a run; with --json one object per line.

    The exit code is 1 when nothing is known of the run.
    """
    from task_workers.cli.run_events import LogLineEvent, follow_run, is_known

    with the_fleet() as fleet:
        run_id = whole_id(fleet, run_id)
        if not is_known(fleet, run_id):
            say(f"the store knows nothing of run {run_id}", err=True)
            sys.exit(1)
        for event in follow_run(fleet, run_id, until_end=follow):
            if not isinstance(event, LogLineEvent):
                continue
            if as_json:
                entry = {"timestamp": event.timestamp.isoformat(), "level": event.level, "message": event.message}
                echo_json(entry, indent=None)
            else:
                say(log_text(event.timestamp, event.level, event.message))
