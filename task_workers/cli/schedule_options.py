"""The options that say when something is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final

import click

from task_workers.cli.terminal import json_or_text

_OPTIONS: Final = (
    click.option("--cron", multiple=True, metavar="CRON", help="A cron text: '0 6 * * *' (repeatable)."),
    click.option(
        "--interval", multiple=True, metavar="SPAN", help="Seconds, or a text such as PT30M, 00:30:00 (repeatable)."
    ),
    click.option("--rrule", multiple=True, metavar="RRULE", help="An RFC 5545 rule: FREQ=DAILY;... (repeatable)."),
    click.option("--anchor-date", metavar="MOMENT", help="The phase of --interval: 2026-01-01T06:00."),
    click.option("--timezone", metavar="ZONE", help="Of these: Europe/Oslo.  [default: UTC]"),
    click.option(
        "--day-or/--day-and",
        "day_or",
        default=True,
        help="Of cron: day of month or day of week, or both.  [default: or]",
    ),
)


def with_schedule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--cron``, ``--interval``, ``--rrule`` and their kin to a command, which gets ``schedules``: a list."""

    @wraps(command)
    def scheduled(*args: Any, **options: Any) -> Any:
        names = ("cron", "interval", "rrule", "anchor_date", "timezone", "day_or")
        return command(*args, schedules=_schedules(**{name: options.pop(name) for name in names}), **options)

    for option in reversed(_OPTIONS):
        scheduled = option(scheduled)
    return scheduled


def _schedules(
    cron: tuple[str, ...],
    interval: tuple[str, ...],
    rrule: tuple[str, ...],
    anchor_date: str | None,
    timezone: str | None,
    day_or: bool,
) -> list[Any]:
    """The schedules that the options describe. Raises ``click.UsageError``."""
    from orchestrator.schedules import Cron, Interval, RRule

    try:
        anchor = datetime.fromisoformat(anchor_date) if anchor_date is not None else None
        found = [Cron(text, timezone=timezone, day_or=day_or) for text in cron]
        found += [Interval(json_or_text(text), anchor_date=anchor, timezone=timezone) for text in interval]
        found += [RRule(text, timezone=timezone) for text in rrule]
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from None
    if not found and (timezone or anchor_date):
        raise click.UsageError("--timezone and --anchor-date belong to --cron, --interval or --rrule")
    return found
