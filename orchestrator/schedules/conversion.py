"""A :class:`Schedule` from the other forms in which people have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from orchestrator.schedules.schedule import Schedule

_FIELDS: Final = tuple(found.name for found in fields(Schedule) if found.init)
_KINDS: Final = ("interval", "cron", "rrule")


def as_schedule(value: Any) -> Schedule:
    """The schedule that a value means.

    Args:
        value: a :class:`Schedule`; an object with the fields of one, such as Prefect's and our ``CronSchedule``,
            ``IntervalSchedule`` and ``RRuleSchedule``; a mapping with such fields; or one of these as ``schedule``
            beside ``active``, ``parameters`` and ``slug``, as in Prefect's ``DeploymentScheduleCreate``.

    Raises:
        TypeError: it is none of them.
        ValueError: it is, but not a valid one.

    >>> as_schedule({"schedule": {"cron": "@daily", "timezone": "Europe/Oslo"}, "active": False}).active
    False
    """
    if isinstance(value, Schedule):
        return value
    given = _fields_of(value)
    if (inner := given.pop("schedule", None)) is not None:
        return replace(as_schedule(inner), **given)
    if not any(name in given for name in _KINDS):
        raise TypeError(f"{value!r} is no schedule: give Cron(...), Interval(...) or RRule(...)")
    return Schedule(**given)


def _fields_of(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        if unknown := [name for name in value if name != "schedule" and name not in _FIELDS]:
            raise TypeError(f"a schedule has no field {unknown[0]!r}; it has: {', '.join(_FIELDS)}")
        found = dict(value)
    else:
        found = {name: getattr(value, name, None) for name in ("schedule", *_FIELDS)}
    return {name: part for name, part in found.items() if part is not None}
