"""Spans and moments, as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)\b,?\s*"
)


def span_of(text: str, option: str) -> timedelta:
    """A span: ``90s``, ``1h 30m``, ``in 10 minutes``. Raises ``click.BadParameter``.

    >>> span_of("1h 30m", "--start-in"), span_of("in 10 minutes", "--start-in")
    (datetime.timedelta(seconds=5400), datetime.timedelta(seconds=600))
    """
    rest = re.sub(r"(?<=[a-z])(?=\d)", " ", text.strip().lower().removeprefix("in "))
    parts = _PART.findall(rest)
    if not parts or _PART.sub("", rest):
        raise click.BadParameter(f"{text!r} is no span such as 90s, 10m or '2 hours'", param_hint=option)
    try:
        return timedelta(seconds=sum(float(count) * _SECONDS[unit[0]] for count, unit in parts))
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long", param_hint=option) from None


def moment_after(span: timedelta, option: str) -> datetime:
    """The moment that comes so long after now. Raises ``click.BadParameter``: no calendar has it."""
    try:
        return datetime.now(UTC) + span
    except OverflowError:
        raise click.BadParameter(f"{span} from now is beyond the calendar", param_hint=option) from None


def moment_of(text: str, option: str) -> datetime:
    """A moment in ISO 8601, in local time unless it says; ``now``. Raises ``click.BadParameter``."""
    if text.strip().lower() == "now":
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no moment such as 2030-01-31T14:00 or 2030-01-31T14:00+01:00", param_hint=option
        ) from None
