"""Time zones by name, and where their clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

_LOOK = timedelta(days=7)  # no zone has changed its clock twice within a week and come back


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name such as ``"Europe/Oslo"``.

    Raises:
        ValueError: there is no such zone; the nearest names are given.
    """
    try:
        return ZoneInfo(name)
    except Exception:  # a directory, a path out of the database, a name with a zero byte: each fails in its own way
        near = get_close_matches(str(name), sorted(available_timezones()), 3, 0.0)
        raise ValueError(f"there is no time zone {name!r}; the nearest names are {', '.join(near)}") from None


def exists(local: datetime) -> bool:
    """Whether the clocks of its zone ever show this local time.

    >>> exists(datetime(2026, 3, 8, 2, 30, tzinfo=ZoneInfo("America/New_York")))
    False
    """
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(fold=0) == local.replace(fold=0)


def instant_of(naive: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a local time, in UTC: moved on by a gap, and the first of two.

    >>> instant_of(datetime(2026, 3, 8, 2, 30), ZoneInfo("America/New_York")).isoformat()
    '2026-03-08T07:30:00+00:00'
    """
    return naive.replace(tzinfo=zone, fold=0).astimezone(UTC)


def offset_at(instant: datetime, zone: ZoneInfo) -> timedelta:
    """How far a zone is ahead of UTC at an instant."""
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def next_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime | None:
    """The first instant after ``start`` and not after ``end`` from which another offset holds."""
    before = offset_at(start, zone)
    low = start
    while low < end:
        high = min(low + _LOOK, end)
        if offset_at(high, zone) != before:
            return _bisect(low, high, before, zone)
        low = high
    return None


def _bisect(low: datetime, high: datetime, before: timedelta, zone: ZoneInfo) -> datetime:
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if offset_at(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high
