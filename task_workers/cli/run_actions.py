"""``orchestrator runs cancel``, ``retry`` and ``rm``: by ids, or all that a filter finds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from task_workers.cli.filters import with_filters, with_whole_ids
from task_workers.cli.session import the_fleet, whole_ids
from task_workers.cli.state_names import refuse_unknown_names
from task_workers.cli.terminal import ask, ask_on_a_terminal, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.inspection import RunFilter, RunView

MAX_LISTED: Final = 20  # of so many each is named

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
        selected = _select(fleet, run_ids, wanted, everything, _is_open)
        _ask_about(selected, run_ids, "ask {} runs to stop?", yes)
        cancelled = cancel_runs(fleet, selected)
    _print(selected, cancelled, "asked to stop", "had ended already, or is unknown")


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
        selected = _select(fleet, run_ids, wanted, everything, _has_ended)
        _ask_about(selected, run_ids, "queue {} runs again?", yes)
        if run_ids and (done := _completed(fleet, selected)):
            ask_on_a_terminal(f"{done:,} of {len(selected):,} completed: what they did is done again. Go on?", yes)
        again = retry_runs(fleet, selected)
    _print(selected, again, "queued again", "has not ended, or its arguments are not kept")


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
        selected = _select(fleet, run_ids, wanted, everything, _has_ended)
        _ask_about(selected, (), "delete {} runs for good?", yes)
        gone = delete_runs(fleet, selected)
    _print(selected, gone, "deleted", "has not ended, or is unknown")


def _completed(fleet: Fleet, run_ids: Sequence[str]) -> int:
    from orchestrator.inspection import views_of

    return sum(view.state_type == "COMPLETED" for view in views_of(fleet, run_ids))


def _select(
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
        return whole_ids(fleet, run_ids)
    if wanted is None and not everything:
        raise click.UsageError("which ones? Name runs, filter them (--state, --task, ...), or say --all")
    from orchestrator.inspection import walk_runs

    wanted = with_whole_ids(fleet, wanted)
    found: list[str] = []
    cursor, is_there = None, False
    while True:
        walk = walk_runs(fleet, wanted, limit=10_000, cursor=cursor)
        found += [run.id for run in walk.runs if fits(run)]
        cursor, is_there = walk.cursor, is_there or bool(walk.runs)
        if cursor is None:
            break
    if not is_there and wanted is not None:
        refuse_unknown_names(wanted.states)
    return found


def _ask_about(selected: Sequence[str], named: Sequence[str], question: str, yes: bool) -> None:
    """Runs that were named one by one need no question."""
    if selected and not named:
        ask(question.format(f"{len(selected):,}"), yes)


def _print(selected: Sequence[str], done: Sequence[str], good: str, bad: str) -> None:
    if not selected:
        return say("no such runs")
    if len(selected) <= MAX_LISTED:
        for run_id in selected:
            say(f"{run_id}  {good if run_id in done else bad}")
    else:
        say(f"{len(done):,} of {len(selected):,} {good}")
    if not done:
        sys.exit(1)
    return None
