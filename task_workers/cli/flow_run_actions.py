"""``orchestrator flow-run cancel``, ``retry`` and ``delete``: by ids; cancel also all that a filter finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from task_workers.cli.flow_run_filters import refuse_unknown_deployments, with_flow_run_filters
from task_workers.cli.numbers import Number
from task_workers.cli.session import the_fleet, whole_id, whole_ids
from task_workers.cli.state_names import refuse_unknown_names
from task_workers.cli.terminal import ask, ask_on_a_terminal, choose, say, with_yes

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.inspection import FlowRunFilter, FlowRunRow

MOST: Final = 10_000  # flow runs that one filter selects
SHOWN: Final = 20  # candidates, where none was named
_IDS = click.argument("flow_run_ids", nargs=-1, metavar="[FLOW_RUN_ID]...")
_SOME_IDS = click.argument("flow_run_ids", nargs=-1, metavar="FLOW_RUN_ID...", required=True)


@click.command("cancel")
@_IDS
@with_flow_run_filters
@with_yes
def cancel(flow_run_ids: tuple[str, ...], wanted: FlowRunFilter, yes: bool) -> None:
    """Cancel flow runs: those that wait at once, those that run are interrupted. The exit code is 1 if none was.

    \b
    orchestrator flow-run cancel 0199f1c2-... 0199f1c3-...
    orchestrator flow-run cancel --state Late --deployment daily-etl/nightly

    Without ids and filters it shows on a terminal which ones have not ended, and asks which one is meant.
    """
    from orchestrator.inspection import cancel_runs

    with the_fleet() as fleet:
        if flow_run_ids:
            if any(wanted):
                raise click.UsageError("either name flow runs or filter them, not both")
            selected = whole_ids(fleet, flow_run_ids)
        elif any(wanted):
            selected = [run.id for run in _open_runs(fleet, wanted, MOST)]
            if selected:
                ask(f"cancel {len(selected):,} flow runs?", yes)
        else:
            selected = _chosen(fleet)
        cancelled = cancel_runs(fleet, selected)
    _print(selected, cancelled, "is being cancelled", "has ended already, or is unknown")


@click.command("retry")
@_SOME_IDS
@with_yes
def retry(flow_run_ids: tuple[str, ...], yes: bool) -> None:
    """Queue flow runs that have ended again, under their ids and with their parameters; exit code 1 if none was.

    Runs that were not sent to a worker (called in a script) cannot be: run their script again.
    """
    from orchestrator.inspection import flow_run_rows, retry_runs

    with the_fleet() as fleet:
        selected = whole_ids(fleet, flow_run_ids)
        if any(run.state_type == "COMPLETED" for run in flow_run_rows(fleet, selected)):
            ask_on_a_terminal("what has completed is done again. Go on?", yes)
        again = retry_runs(fleet, selected)
    _print(selected, again, "is queued again", "has not ended, is unknown, or was not sent to a worker")


@click.command("delete")
@_SOME_IDS
@with_yes
def remove(flow_run_ids: tuple[str, ...], yes: bool) -> None:
    """Delete the records and logs of flow runs that have ended, for good; the exit code is 1 if none was."""
    from orchestrator.inspection import delete_runs

    with the_fleet() as fleet:
        selected = whole_ids(fleet, flow_run_ids)
        ask_on_a_terminal(f"delete {len(selected):,} flow runs for good?", yes)
        gone = delete_runs(fleet, selected)
    _print(selected, gone, "is deleted", "has not ended, or is unknown")


@click.command("resume")
@click.argument("flow_run_id")
@click.option("--input", "run_input", metavar="JSON", help='What it waits for: {"approved": true}, or - for stdin.')
def resume(flow_run_id: str, run_input: str | None) -> None:
    """Have a paused or suspended flow run go on.

    \b
    orchestrator flow-run resume 0199f1c2-... --input '{"approved": true}'
    """
    from orchestrator.pausing.resuming import resume

    given = None
    if run_input is not None:
        try:
            given = json.loads(sys.stdin.read() if run_input == "-" else run_input)
        except ValueError as error:
            raise click.UsageError(f"--input is no JSON: {error}") from None
        if not isinstance(given, dict):
            raise click.UsageError('--input is a JSON object, such as {"value": 3}')
    with the_fleet() as fleet:
        run_id = whole_id(fleet, flow_run_id)
        resume(fleet, run_id, given)
    say(f"Flow run {run_id!r} goes on.")


@click.command("suspend")
@click.argument("flow_run_id")
@click.option("--timeout", type=Number(0), default=3600.0, show_default=True, help="Seconds it may last.")
def suspend(flow_run_id: str, timeout: float) -> None:
    """Have a flow run that a worker runs end its process at its next call of a task, until it is resumed."""
    from orchestrator.pausing.requests import request_suspension

    with the_fleet() as fleet:
        run_id = whole_id(fleet, flow_run_id)
        request_suspension(fleet, run_id, timeout)
    say(f"Flow run {run_id!r} is suspended at its next call of a task.")


def _open_runs(fleet: Fleet, wanted: FlowRunFilter, most: int) -> list[FlowRunRow]:
    from orchestrator.inspection import flow_runs_of

    found = flow_runs_of(fleet, wanted, most)
    if not found:
        refuse_unknown_names(wanted.states)
        refuse_unknown_deployments(fleet, wanted.deployments)
    return [run for run in found if not run.has_ended]


def _chosen(fleet: Fleet) -> list[str]:
    """The one that the user picks of those that have not ended. Raises ``click.UsageError``: nobody can be asked."""
    from orchestrator.inspection import FlowRunFilter

    if not sys.stdin.isatty():
        raise click.UsageError("which one? Name a flow run by its id, or filter them: --state Late, --deployment, ...")
    found = _open_runs(fleet, FlowRunFilter(), MOST)[:SHOWN]
    if not found:
        return []
    lines = [f"{run.id}  {run.state_name}  {run.flow}  {run.name}" for run in found]
    return [found[choose("cancel which one?", lines)].id]


def _print(selected: Sequence[str], done: Sequence[str], good: str, bad: str) -> None:
    if not selected:
        say("no such flow runs", err=True)
    for run_id in selected:
        say(f"Flow run {run_id!r} {good}." if run_id in done else f"Flow run {run_id!r} {bad}.", err=run_id not in done)
    if not done:
        sys.exit(1)
