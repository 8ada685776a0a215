"""``orchestrator watch``: follow a run until its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.run_facts import log_text
from task_workers.cli.session import the_fleet, whole_id
from task_workers.cli.terminal import COLOURS, as_json, echo_json, say, say_in_colours, say_over

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from task_workers.cli.run_events import ProgressUpdate, RunEvent, StateChange

EXIT_CODES: Final = {"COMPLETED": 0, "FAILED": 1, "CANCELLED": 3, "CRASHED": 4}
UNKNOWN: Final = 5
BAR: Final = 24
NEWS: Final = {"StateChange": "stands", "ProgressUpdate": "advance", "LogLineEvent": "line"}  # in JSON


@click.command("watch")
@click.argument("run_id")
@as_json
def command(run_id: str, as_json: bool) -> None:
    """Follow a task run or flow run: its states, progress and log lines, until it has ended.

    The exit code is its end: 0 completed, 1 failed, 3 cancelled, 4 crashed, 5 nothing is known of it. With --json
    each event is one object on a line. Ctrl-C stops watching, not the run.
    """
    with the_fleet() as fleet:
        run_id = whole_id(fleet, run_id)
        last = follow(fleet, run_id, as_json=as_json)
    if last is None:
        say(f"the store knows nothing of run {run_id}: the id is wrong, or its record has expired", err=True)
        sys.exit(UNKNOWN)
    sys.exit(EXIT_CODES.get(last.type, 1))


def follow(
    fleet: Fleet, run_id: str, timeout_seconds: float | None = None, *, as_json: bool = False, show: bool = True
) -> StateChange | None:
    """Write the events of a run until it has ended, or the timeout has passed; the last state, if any is known."""
    from task_workers.cli.run_events import StateChange, follow_run

    last: StateChange | None = None
    on_terminal = not as_json and sys.stdout.isatty()
    for event in follow_run(fleet, run_id, timeout_seconds=timeout_seconds):
        if show:
            _print(event, as_json, on_terminal)
        if isinstance(event, StateChange):
            last = event
    return last


def _print(event: RunEvent, as_json: bool, on_terminal: bool) -> None:
    from task_workers.cli.run_events import LogLineEvent, ProgressUpdate

    if as_json:
        return echo_json({"news": NEWS[type(event).__name__], **_plain(event)}, indent=None)
    if isinstance(event, ProgressUpdate):
        return _print_progress(event, on_terminal)
    if on_terminal:
        say_over("")  # where the bar was
    if isinstance(event, LogLineEvent):
        return say(log_text(event.timestamp, event.level, event.message))
    return _print_state(event)


def _plain(event: RunEvent) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, int | float) else str(value)
        for name, value in event._asdict().items()
    }


def _print_state(state: StateChange) -> None:
    colour = COLOURS.get(state.name.lower(), "").removeprefix("bold ") or None
    message = f": {state.message}" if state.message else ""
    say_in_colours((f"{state.task}  ", None), (state.name, colour), (message, None))


def _print_progress(progress: ProgressUpdate, on_terminal: bool) -> None:
    text = progress_text(progress)
    if on_terminal:
        say_over(text)
    else:
        say(text)


def progress_text(progress: ProgressUpdate) -> str:
    """How far a run has come, on one line."""
    text = f"{progress.done:g}"
    if progress.total:
        share = min(1.0, max(0.0, progress.done / progress.total))
        full = round(share * BAR)
        text = f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {progress.done:g} of {progress.total:g}"
    return f"{text}  {progress.note}" if progress.note else text
