"""Intervals: the same time between ticks, counted from an anchor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from orchestrator.schedules.zones import instant_of

SHORTEST: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_MS: Final = timedelta(milliseconds=1)  # what ticks are kept in, so that there is none between two of them
_ISO: Final = re.compile(
    r"P(?:(?P<weeks>\d+(?:[.,]\d+)?)W)?(?:(?P<days>\d+(?:[.,]\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:[.,]\d+)?)H)?(?:(?P<minutes>\d+(?:[.,]\d+)?)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?"
)
_CLOCK: Final = re.compile(
    r"(?:(?P<days>\d+)(?: days?,)? )?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d+)?)"
)


def interval_from(value: Any) -> timedelta:
    """An interval from seconds, a timedelta, ``"PT30M"``, ``"00:30:00"`` or ``"1 00:00:00"``, in whole milliseconds.

    Raises:
        TypeError: it is none of these.
        ValueError: it is shorter than a second, or a text that means no fixed time.

    >>> interval_from("P1DT12H")
    datetime.timedelta(days=1, seconds=43200)
    """
    interval = _parsed(value)
    if interval < SHORTEST:
        raise ValueError(f"an interval is at least 1 second, not {value!r}")
    return round(interval / _MS) * _MS


def _parsed(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise ValueError(f"an interval of {value!r} seconds is out of range") from None
    if isinstance(value, str):
        return _from_text(value.strip())
    raise TypeError(f"an interval is a number of seconds, a timedelta or a text such as 'PT30M', not {value!r}")


def _from_text(text: str) -> timedelta:
    if re.fullmatch(r"P(?:\d+Y)?(?:\d+M)?.*", text, re.I) and re.match(r"P[^T]*\d[YM]", text, re.I):
        raise ValueError(f"interval {text!r}: months and years have no fixed length; use cron or rrule")
    match = _ISO.fullmatch(text.upper()) or _CLOCK.fullmatch(text)
    parts = {name: float(part.replace(",", ".")) for name, part in (match.groupdict() if match else {}).items() if part}
    if not parts:
        raise ValueError(f"interval {text!r} is no ISO 8601 duration such as 'PT30M', and no '[days ]HH:MM:SS'")
    try:
        return timedelta(**parts)
    except OverflowError:
        raise ValueError(f"interval {text!r} is out of range") from None


@dataclass(frozen=True, slots=True)
class IntervalTicks:
    """The ticks of an interval around an anchor.

    Whole days of the interval follow the calendar of the zone, the rest is elapsed time: an interval of a day is due at
    the same local time all year, one of 24 x 3600 seconds written as hours is the same thing (as in Prefect 3, whose
    ``timedelta`` makes no difference between them).

    Args:
        interval: at least a second.
        anchor: an instant at which there is a tick, cut to milliseconds; there are ticks before it, too.
        zone: whose calendar counts days.
    """

    interval: timedelta
    anchor: datetime
    zone: ZoneInfo

    def __post_init__(self) -> None:
        finer = timedelta(microseconds=self.anchor.microsecond % 1000)
        object.__setattr__(self, "anchor", self.anchor - finer)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; ``None`` when the calendar ends.

        >>> IntervalTicks(timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC")).next_after(
        ...     datetime(2026, 5, 5, 10, 30, tzinfo=UTC))
        datetime.datetime(2026, 5, 5, 11, 0, tzinfo=datetime.timezone.utc)
        """
        try:
            number = (moment - self.anchor) // self.interval - 1  # clocks move a tick by less than one
            while (tick := self._tick(number)) <= moment:
                number += 1
            while (earlier := self._tick(number - 1)) > moment:
                number, tick = number - 1, earlier
            return tick
        except (OverflowError, ValueError):
            return None

    def _tick(self, number: int) -> datetime:
        if self.interval < _DAY:
            return self.anchor.astimezone(UTC) + number * self.interval
        days, rest = timedelta(days=self.interval.days), self.interval - timedelta(days=self.interval.days)
        local = self.anchor.astimezone(self.zone)
        if not number:
            return self.anchor.astimezone(UTC)
        return instant_of(local.replace(tzinfo=None) + number * days, self.zone) + number * rest
