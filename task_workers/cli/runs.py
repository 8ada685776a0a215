"""``orchestrator runs``: find runs, look at them; what is done to them is in ``runs_act``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from task_workers.cli.at_work import age_text, as_json, echo_json, echo_table, first_line, the_fleet
from task_workers.cli.filters import with_filters
from task_workers.cli.run_facts import facts_of, log_text, tell
from task_workers.cli.runs_act import cancel, remove, retry

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
@click.option("-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
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
        found = walk_runs(fleet, wanted, limit=limit, cursor=cursor)
    if as_json:
        rows = [run.as_json() for run in found.runs]
        return echo_json({"runs": rows, "cursor": found.cursor, "looked_at": found.looked_at})
    if found.runs:
        echo_table(HEADS, [row_of(run) for run in found.runs])
    else:
        click.echo("no such runs")
    if found.cursor is not None:
        more = f"looked at {found.looked_at:,} runs; older ones: --cursor {found.cursor}"
        click.echo(more, err=True)
    return None


HEADS = ("RUN", "STATE", "TASK", "QUEUE", "CREATED", "TOOK", "MESSAGE")


def row_of(run: RunView) -> tuple[str, ...]:
    """A run as a row."""
    took = (run.ended - run.started).total_seconds() if run.ended and run.started else None
    return (
        run.id,
        run.state_name,
        run.task,
        run.queue,
        f"{run.created.astimezone():%Y-%m-%d %H:%M:%S}" if run.created else "-",
        age_text(took),
        first_line(run.message),
    )


@command.command()
@click.argument("run_id")
@click.option("--logs", is_flag=True, help="Its log lines, too.")
@as_json
def show(run_id: str, logs: bool, as_json: bool) -> None:
    """What is known of a task run or flow run."""
    with the_fleet() as fleet:
        facts = facts_of(fleet, run_id)
        if logs:
            facts["logs"] = [[line.timestamp, line.level, line.message] for line in fleet.logs.read(run_id)]
    echo_json(facts) if as_json else tell(facts)


@command.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@as_json
def logs(run_id: str, follow: bool, as_json: bool) -> None:
    """The kept log lines of a run; with --json one object per line.

    The exit code is 1 when nothing is known of the run.
    """
    from task_workers.cli.following import Line, follow_run, known

    with the_fleet() as fleet:
        if not known(fleet, run_id):
            click.echo(f"the store knows nothing of run {run_id}", err=True)
            sys.exit(1)
        for news in follow_run(fleet, run_id, until_end=follow):
            if not isinstance(news, Line):
                continue
            if as_json:
                told = {"timestamp": news.timestamp.isoformat(), "level": news.level, "message": news.message}
                echo_json(told, indent=None)
            else:
                click.echo(log_text(news.timestamp, news.level, news.message))
