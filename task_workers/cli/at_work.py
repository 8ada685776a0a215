"""What most commands need: the fleet for the length of a block, an app, arguments as JSON, tables, questions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.fleet import Fleet


@contextmanager
def the_fleet() -> Iterator[Fleet]:
    """The fleet of this process, closed afterwards."""
    from orchestrator.fleet import current_fleet

    fleet = current_fleet()
    try:
        yield fleet
    finally:
        fleet.close()


def import_apps(apps: Sequence[str]) -> None:
    """Import modules, so that their tasks are known. Raises ConfigurationError."""
    from task_workers.app import import_app

    for app in apps:
        import_app(app)


def json_or_text(text: str) -> Any:
    """A value from the command line: JSON where it is that, else the text.

    >>> json_or_text("3"), json_or_text("tea")
    (3, 'tea')
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_of(option: str, text: str, kind: type) -> Any:
    """The value of an option that must be JSON of a kind. Raises ``click.BadParameter``."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from None
    if not isinstance(value, kind):
        raise click.BadParameter(f"{text!r} is not a JSON {'list' if kind is list else 'object'}", param_hint=option)
    return value


def echo_json(value: Any, indent: int | None = 2) -> None:
    """Write JSON; what JSON does not know becomes text. Without an indent it is one line."""
    click.echo(json.dumps(value, indent=indent, default=str))


def echo_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: in colours on a terminal; plain aligned columns, the last one as long as it is, to a pipe."""
    if sys.stdout.isatty():
        return _draw_table(heads, rows)
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def _draw_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console

    Console(highlight=False).print(table_of(heads, rows))


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """A table for a terminal; words that name a state have its colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, head in enumerate(heads):
        table.add_column(head, overflow="ellipsis" if at == len(heads) - 1 else "fold", no_wrap=at < len(heads) - 1)
    for row in rows:
        table.add_row(*(Text(cell, COLOURS.get(cell.lower(), "")) for cell in row))
    return table


def ask(question: str, yes: bool) -> None:
    """Go on only if the answer is yes, or was given beforehand.

    Raises:
        click.UsageError: nobody is there who could answer.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: say --yes")
    click.confirm(question, abort=True)


def age_text(seconds: float | None) -> str:
    """A span of time for people.

    >>> age_text(0.25), age_text(75), age_text(7300), age_text(None)
    ('0.2s', '1m15s', '2h01m', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def first_line(text: str | None, most: int = 100) -> str:
    """One line of a message.

    >>> first_line("a" * 5, 3)
    'aa…'
    """
    line = (text or "").strip().split("\n", 1)[0]
    return line if len(line) <= most else line[: most - 1] + "…"


COLOURS = {
    "completed": "green",
    "cached": "green",
    "running": "cyan",
    "failed": "red",
    "timedout": "red",
    "crashed": "bold red",
    "notready": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "retrying": "yellow",
    "awaitingretry": "yellow",
    "paused": "yellow",
}
with_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
with_apps = click.option(
    "-A", "--app", "apps", multiple=True, envvar="ORCHESTRATOR_WORKER_APP", help="Module or file that has the tasks."
)
