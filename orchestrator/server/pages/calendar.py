"""The next 24 hours of schedules, hour by hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from orchestrator.server.definition_views import ScheduleView

HOURS: Final = 24
OFTEN: Final = 48  # ticks of a day; schedules with more are not listed hour by hour


class Entry(NamedTuple):
    """The ticks of a schedule in one hour."""

    schedule: ScheduleView
    ticks: list[datetime]


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour in which something is due."""

    begins: datetime
    entries: list[Entry] = field(default_factory=list)


class Calendar(NamedTuple):
    """A day: its hours in order, those in which nothing is due left out, and what is due too often to be listed."""

    hours: list[Hour]
    often: list[ScheduleView]


def calendar_of(
    ticks: Iterable[tuple[ScheduleView, Sequence[datetime]]], now: datetime, zone: tzinfo = UTC
) -> Calendar:
    """The day from now on.

    Args:
        ticks: of each schedule the first :data:`OFTEN` and one more, or all if there are fewer.
        now: the present.
        zone: whose clock strikes the hours.
    """
    end = now + timedelta(hours=HOURS)
    by_hour: dict[datetime, Hour] = {}
    often: list[ScheduleView] = []
    for schedule, moments in ticks:
        within = [moment for moment in moments if moment < end]
        if len(within) > OFTEN:
            often.append(schedule)
            continue
        for moment in within:
            _put(by_hour, schedule, moment.astimezone(zone))
    return Calendar([by_hour[begins] for begins in sorted(by_hour)], often)


def _put(by_hour: dict[datetime, Hour], schedule: ScheduleView, moment: datetime) -> None:
    passed = timedelta(minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond)
    begins = moment.astimezone(UTC) - passed  # in UTC: an hour that the clocks repeat is two
    hour = by_hour.setdefault(begins, Hour(begins))
    if not hour.entries or hour.entries[-1].schedule.id != schedule.id:
        hour.entries.append(Entry(schedule, []))
    hour.entries[-1].ticks.append(moment)
