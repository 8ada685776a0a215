"""The schedules of a deployment, from the many ways in which they are written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from orchestrator.schedules import Cron, Interval, RRule, Schedule
from orchestrator.schedules.conversion import as_schedule


def schedules_from(
    *,
    interval: Any = None,
    cron: Any = None,
    rrule: Any = None,
    schedule: Any = None,
    schedules: Iterable[Any] | None = None,
    timezone: str | None = None,
    anchor_date: datetime | None = None,
) -> list[Schedule] | None:
    """The schedules that were asked for; ``None``: nothing was asked for, and what there is stays.

    Args:
        interval, cron, rrule: one, or a list for several schedules; of one kind.
        schedule: one, also as Prefect's clients write it.
        schedules: all of them; an empty list removes those that there are.
        timezone, anchor_date: of those that are given by ``interval``, ``cron`` and ``rrule``.

    Raises:
        ValueError: one is not valid or never fires, two of these are given, or two have one slug.
        TypeError: one is of another type.

    >>> [each.cron for each in schedules_from(cron=["0 6 * * *", "@hourly"], timezone="Europe/Oslo")]
    ['0 6 * * *', '@hourly']
    >>> schedules_from() is None, schedules_from(schedules=[])
    (True, [])
    """
    ways = {"interval": interval, "cron": cron, "rrule": rrule, "schedule": schedule, "schedules": schedules}
    if len(given := [f"{name}=" for name, value in ways.items() if value is not None]) > 1:
        raise ValueError(f"give {' or '.join(given)}, not both; several of any kind are schedules=[Cron(...), ...]")
    found: list[Schedule] = []
    for value in _several(interval):
        found.append(Interval(value, anchor_date=anchor_date, timezone=timezone))
    found += [Cron(value, timezone=timezone) for value in _several(cron)]
    found += [RRule(value, timezone=timezone) for value in _several(rrule)]
    if (timezone or anchor_date) and not found:
        name = "timezone" if timezone else "anchor_date"
        raise ValueError(f"{name}= belongs to interval=, cron= or rrule=; a schedule has one of its own")
    if schedule is not None:
        found += [one for one in [_schedule_of(schedule)] if one is not None]
    if schedules is not None:
        return _distinct([one for one in map(_schedule_of, schedules) if one is not None])
    return _distinct(found) if given else None


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _schedule_of(value: Any) -> Schedule | None:
    """One schedule; ``None`` for one that stands for none, as Prefect's ``NoSchedule``."""
    if hasattr(value, "to_schedule") and value.to_schedule() is None:
        return None
    return as_schedule(value)


def _distinct(schedules: list[Schedule]) -> list[Schedule]:
    slugs = [schedule.slug for schedule in schedules if schedule.slug]
    if twice := next((slug for slug in slugs if slugs.count(slug) > 1), None):
        raise ValueError(f"two schedules have the slug {twice!r}: each is found by its own")
    return schedules
