"""Input and output of commands: JSON arguments, lines, tables, questions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from orchestrator.observability.plain_text import on_one_line, printable
from task_workers.cli.table_width import fit_table


def json_or_text(text: str) -> Any:
    """A value from the command line: parsed as JSON, else the text itself.

    >>> json_or_text("3"), json_or_text("tea")
    (3, 'tea')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def json_of(option: str, text: str, kind: type) -> Any:
    """The value of an option that must be JSON of a kind. Raises ``click.BadParameter``."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}", param_hint=option) from None
    except RecursionError:
        raise click.BadParameter("it is nested too deep", param_hint=option) from None
    if not isinstance(value, kind):
        raise click.BadParameter(f"{text!r} is not a JSON {'list' if kind is list else 'object'}", param_hint=option)
    return value


@contextmanager
def refused_values() -> Iterator[None]:
    """What is refused inside, as a value of the command line, is a line about usage: exit code 2, no traceback."""
    from brokers.errors import OrchestratorError

    try:
        yield
    except OrchestratorError:  # some of them are ValueErrors, too; the group of commands answers them
        raise
    except (ValueError, TypeError) as error:
        raise click.UsageError(printable(str(error))) from None


def say(text: object = "", err: bool = False) -> None:
    """Write a line. All text to a terminal goes through here: control characters are escaped, whatever their source."""
    click.echo(printable(str(text)), err=err)


def say_in_colours(*parts: tuple[str, str | None]) -> None:
    """Write a line of coloured parts; click removes the colours for a pipe."""
    plain = bool(os.environ.get("NO_COLOR"))
    click.echo("".join(printable(text) if plain else click.style(printable(text), fg=fg) for text, fg in parts))


def say_over(text: str) -> None:
    """Replace the current line; an empty text clears it. Terminals only."""
    click.echo(f"\r\x1b[K{on_one_line(text)}", nl=False)


def echo_json(value: Any, indent: int | None = 2) -> None:
    """Write JSON; values that JSON cannot hold become text. Without an indent it is one line."""
    try:
        text = json.dumps(value, indent=indent, default=text_of)
    except (TypeError, ValueError, RecursionError):  # keys that are not strings, or a value that contains itself
        parts = {str(key): _known_to_json(part) for key, part in value.items()} if isinstance(value, dict) else None
        text = json.dumps(text_of(value) if parts is None else parts, indent=indent, default=text_of)
    click.echo(text)


def _known_to_json(value: Any) -> Any:
    try:
        json.dumps(value, default=text_of)
    except (TypeError, ValueError, RecursionError):
        return text_of(value)
    return value


def text_of(value: Any, how: Callable[[Any], str] = str) -> str:
    """A value of a run as text; never raises, though ``__str__`` and ``__repr__`` are user code."""
    try:
        return how(value)
    except (Exception, SystemExit) as error:
        return f"<{type(value).__name__}, whose text cannot be made: {type(error).__name__}>"


def echo_table(heads: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = ()) -> None:
    """Write a table: coloured on a terminal; to a pipe as aligned columns, the last one uncropped.

    Args:
        heads: the heads of the columns; the first column is never cropped.
        rows: the cells.
        drop: heads of the columns that a narrow terminal does without, in this order.
    """
    if sys.stdout.isatty():
        return _draw_table(heads, rows, drop)
    rows = [[on_one_line(cell) for cell in row] for row in rows]
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        say("  ".join([*cells, line[-1]]).rstrip())
    return None


def _draw_table(heads: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table_of(heads, rows, drop, console.width))


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]], drop: Sequence[str] = (), width: int = 0) -> Any:
    """A table for a terminal of so many columns (0: ask it); words that name a state have its colour."""
    from shutil import get_terminal_size

    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [[on_one_line(cell) for cell in row] for row in rows]
    heads, rows = fit_table(heads, rows, width or get_terminal_size().columns, drop)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for at, head in enumerate(heads):
        whole = max([len(row[0]) for row in rows], default=0) if at == 0 else None
        table.add_column(head, overflow="ellipsis", no_wrap=True, min_width=whole)
    for row in rows:
        table.add_row(*(Text(cell, COLOURS.get(cell.lower(), "")) for cell in row))
    return table


def ask(question: str, yes: bool) -> None:
    """Continue only if the user says yes, or gave --yes.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the answer was no.
    """
    if yes:
        return
    if not _somebody_is_there():
        raise click.UsageError(f"{printable(question)} Nobody can be asked here: say --yes")
    click.confirm(printable(question), abort=True)


def ask_on_a_terminal(question: str, yes: bool) -> None:
    """Ask on a terminal only: scripts may do this unasked. Raises ``click.Abort``."""
    if _somebody_is_there():
        ask(question, yes)


def _somebody_is_there() -> bool:
    """Whether standard input is a terminal; a program may be started without one at all (``<&-``)."""
    return sys.stdin is not None and sys.stdin.isatty()


def choose(question: str, choices: Sequence[str]) -> int:
    """Have the user pick one, on a terminal; its place among them. Raises ``click.Abort``."""
    for number, text in enumerate(choices, 1):
        say(f"{number:>3}  {text}")
    picked: int = click.prompt(printable(question), type=click.IntRange(1, len(choices)))
    return picked - 1


def moment_text(moment: datetime | None) -> str:
    """A moment in local time."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment is not None else "-"


def age_text(seconds: float | None) -> str:
    """A duration in short form.

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
    """The first line of a message.

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
    "late": "yellow",
    "awaitingconcurrencyslot": "yellow",
    "ready": "green",
    "not_ready": "red",
}
with_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def _note_format(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta[_OUTPUT] = value


def _wants_json(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    return value or ctx.meta.get(_OUTPUT) == "json"  # options that were not given come after those that were


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag ``as_json``: ``--json``, or as in Prefect ``-o json``."""
    output = click.option(
        "-o", "--output", type=click.Choice(["json"]), expose_value=False, callback=_note_format, help="As --json."
    )
    flag = click.option("--json", "as_json", is_flag=True, callback=_wants_json, help="Write JSON.")
    return flag(output(command))


_OUTPUT = "orchestrator.output"
with_apps = click.option(
    "-A", "--app", "apps", multiple=True, envvar="ORCHESTRATOR_WORKER_APP", help="Module or file that has the tasks."
)
