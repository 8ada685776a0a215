"""``orchestrator runs cancel``, ``retry`` and ``rm``: by ids, or all that a filter finds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from task_workers.cli.at_work import ask, the_fleet, with_yes
from task_workers.cli.filters import with_filters

if TYPE_CHECKING:
    from orchestrator.fleet import Fleet
    from orchestrator.inspection import RunFilter, RunView

FEW: Final = 20  # of so many each is named
SLICE: Final = 500

_open_states: Final = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING")


def _is_open(run: RunView) -> bool:
    return run.state_type in _open_states


def _has_ended(run: RunView) -> bool:
    return run.state_type not in _open_states


@click.command("cancel")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@with_filters
@click.option("--all", "everything", is_flag=True, help="All that have not ended.")
@with_yes
def cancel(run_ids: tuple[str, ...], wanted: RunFilter | None, everything: bool, yes: bool) -> None:
    """Ask runs to stop: queued ones end at once, running ones are interrupted; the exit code is 1 if all had ended.

    \b
    orchestrator runs cancel 0199f1c2-... 0199f1c3-...
    orchestrator runs cancel --task shop.resize --queue slow --since 2h
    """
    from orchestrator.inspection import cancel_runs

    with the_fleet() as fleet:
        meant = _meant(fleet, run_ids, wanted, everything, _is_open)
        _ask_about(meant, run_ids, "ask {} runs to stop?", yes)
        asked = _in_slices(meant, lambda some: cancel_runs(fleet, some))
    _tell(meant, asked, "asked to stop", "had ended already, or is unknown")


@click.command("retry")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@with_filters
@click.option("--all", "everything", is_flag=True, help="All that have ended.")
@with_yes
def retry(run_ids: tuple[str, ...], wanted: RunFilter | None, everything: bool, yes: bool) -> None:
    """Queue ended runs again, under their ids and with the arguments they had; the exit code is 1 if none was.

    \b
    orchestrator runs retry --state failed --since 1h
    """
    from orchestrator.inspection import retry_runs

    with the_fleet() as fleet:
        meant = _meant(fleet, run_ids, wanted, everything, _has_ended)
        _ask_about(meant, run_ids, "queue {} runs again?", yes)
        again = _in_slices(meant, lambda some: retry_runs(fleet, some))
    _tell(meant, again, "queued again", "has not ended, or its arguments are not kept")


@click.command("rm")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@with_filters
@click.option("--all", "everything", is_flag=True, help="All that have ended.")
@with_yes
def remove(run_ids: tuple[str, ...], wanted: RunFilter | None, everything: bool, yes: bool) -> None:
    """Delete the records and logs of ended runs for good; the exit code is 1 if none was.

    \b
    orchestrator runs rm --state completed --until 2d
    """
    from orchestrator.inspection import delete_runs

    with the_fleet() as fleet:
        meant = _meant(fleet, run_ids, wanted, everything, _has_ended)
        _ask_about(meant, (), "delete {} runs for good?", yes)
        gone = _in_slices(meant, lambda some: delete_runs(fleet, some))
    _tell(meant, gone, "deleted", "has not ended, or is unknown")


def _meant(
    fleet: Fleet,
    run_ids: tuple[str, ...],
    wanted: RunFilter | None,
    everything: bool,
    fits: Callable[[RunView], bool],
) -> list[str]:
    """The runs that were named, or all that the filter finds and that the command could change."""
    if run_ids:
        if wanted is not None or everything:
            raise click.UsageError("either name runs or filter them, not both")
        return list(run_ids)
    if wanted is None and not everything:
        raise click.UsageError("which ones? Name runs, filter them (--state, --task, ...), or say --all")
    from orchestrator.inspection import walk_runs

    found: list[str] = []
    cursor: str | None = None
    while True:
        walk = walk_runs(fleet, wanted, limit=10_000, cursor=cursor)
        found += [run.id for run in walk.runs if fits(run)]
        cursor = walk.cursor
        if cursor is None:
            return found


def _ask_about(meant: Sequence[str], named: Sequence[str], question: str, yes: bool) -> None:
    """Runs that were named one by one need no question."""
    if meant and not named:
        ask(question.format(f"{len(meant):,}"), yes)


def _in_slices(run_ids: Sequence[str], do: Callable[[Sequence[str]], list[str]]) -> list[str]:
    return [done for first in range(0, len(run_ids), SLICE) for done in do(run_ids[first : first + SLICE])]


def _tell(meant: Sequence[str], done: Sequence[str], good: str, bad: str) -> None:
    if not meant:
        return click.echo("no such runs")
    if len(meant) <= FEW:
        for run_id in meant:
            click.echo(f"{run_id}  {good if run_id in done else bad}")
    else:
        click.echo(f"{len(done):,} of {len(meant):,} {good}")
    if not done:
        sys.exit(1)
    return None
