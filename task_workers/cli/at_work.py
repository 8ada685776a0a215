"""What most commands need: the fleet for the length of a block, an app, arguments as JSON, plain tables."""

from __future__ import annotations

import json
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


def echo_json(value: Any) -> None:
    """Write JSON; what JSON does not know becomes text."""
    click.echo(json.dumps(value, indent=2, default=str))


def echo_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write aligned columns, the last one as long as it is."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def first_line(text: str | None, most: int = 100) -> str:
    """One line of a message.

    >>> first_line("a" * 5, 3)
    'aa…'
    """
    line = (text or "").strip().split("\n", 1)[0]
    return line if len(line) <= most else line[: most - 1] + "…"


as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
with_apps = click.option(
    "-A", "--app", "apps", multiple=True, envvar="ORCHESTRATOR_WORKER_APP", help="Module or file that has the tasks."
)
