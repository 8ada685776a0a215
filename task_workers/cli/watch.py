"""``orchestrator watch``: follow a run until its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from task_workers.cli.at_work import COLOURS, as_json, echo_json, the_fleet
from task_workers.cli.run_facts import log_text

if TYPE_CHECKING:
    from task_workers.cli.following import Advance, News, Stands

EXIT_CODES: Final = {"COMPLETED": 0, "FAILED": 1, "CANCELLED": 3, "CRASHED": 4}
UNKNOWN: Final = 5
BAR: Final = 24


@click.command("watch")
@click.argument("run_id")
@as_json
def command(run_id: str, as_json: bool) -> None:
    """Follow a task run or flow run: its states, progress and log lines, until it has ended.

    The exit code tells its end: 0 completed, 1 failed, 3 cancelled, 4 crashed, 5 nothing is known of it. With --json
    each piece of news is one object on a line. Ctrl-C stops watching, not the run.
    """
    from task_workers.cli.following import Stands, follow_run

    last: Stands | None = None
    on_terminal = not as_json and sys.stdout.isatty()
    with the_fleet() as fleet:
        for news in follow_run(fleet, run_id):
            _tell(news, as_json, on_terminal)
            if isinstance(news, Stands):
                last = news
    if last is None:
        click.echo(f"the store knows nothing of run {run_id}: the id is wrong, or its record has expired", err=True)
        sys.exit(UNKNOWN)
    sys.exit(EXIT_CODES.get(last.type, 1))


def _tell(news: News, as_json: bool, on_terminal: bool) -> None:
    from task_workers.cli.following import Advance, Line

    if as_json:
        return echo_json({"news": type(news).__name__.lower(), **_plain(news)}, indent=None)
    if isinstance(news, Advance):
        return _tell_progress(news, on_terminal)
    if on_terminal:
        click.echo("\r\x1b[K", nl=False)  # where the bar was
    if isinstance(news, Line):
        return click.echo(log_text(news.timestamp, news.level, news.message))
    return _tell_state(news)


def _plain(news: News) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, int | float) else str(value)
        for name, value in news._asdict().items()
    }


def _tell_state(state: Stands) -> None:
    colour = COLOURS.get(state.name.lower(), "").removeprefix("bold ") or None
    message = f": {state.message}" if state.message else ""
    click.echo(f"{state.task}  {_styled(state.name, colour)}{message}")


def _styled(text: str, colour: str | None) -> str:
    import os

    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)  # and click removes it for a pipe


def _tell_progress(advance: Advance, on_terminal: bool) -> None:
    text = progress_text(advance)
    if on_terminal:
        click.echo(f"\r\x1b[K{text}", nl=False)
    else:
        click.echo(text)


def progress_text(advance: Advance) -> str:
    """How far a run has come, on one line."""
    told = f"{advance.done:g}"
    if advance.total:
        share = min(1.0, max(0.0, advance.done / advance.total))
        full = round(share * BAR)
        told = f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {advance.done:g} of {advance.total:g}"
    return f"{told}  {advance.note}" if advance.note else told
