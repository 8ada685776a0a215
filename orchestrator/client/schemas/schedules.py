"""Schedules as Prefect's clients write them: ``CronSchedule``, ``IntervalSchedule``, ``RRuleSchedule``.

They are models of pydantic, so that they are checked when they are made and go through JSON. What they mean is one
:class:`orchestrator.schedules.Schedule`, which ``to_schedule()`` gives; whatever takes a schedule takes either.

Three things are better than in Prefect 3: an interval without ``anchor_date`` has none (Prefect writes the moment at
which the object was made, so each deploy moves the ticks), seconds are the sixth field of a cron on every path, and
what never fires is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self, TypeAlias, TypeGuard

from dateutil.rrule import rrule as dateutil_rule
from dateutil.rrule import rruleset as dateutil_set
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.schedules import Schedule
from orchestrator.schedules.interval import interval_from


def _interval(value: Any) -> timedelta:
    try:
        return interval_from(value)
    except TypeError as error:  # pydantic makes a ValidationError of ValueErrors only
        raise ValueError(str(error)) from None


class _ScheduleModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.to_schedule()
        return self

    def to_schedule(self) -> Schedule | None:
        """The same as a :class:`~orchestrator.schedules.Schedule`. Raises ValueError: a changed field is not valid."""
        return Schedule(**{name: getattr(self, name) for name in type(self).model_fields})


class IntervalSchedule(_ScheduleModel):
    """The same time between ticks.

    Args:
        interval: a timedelta, seconds, or a text such as ``"PT30M"`` or ``"00:30:00"``; at least a second.
        anchor_date: a moment at which there is a tick; naive: in ``timezone``.
        timezone: IANA name of the zone whose calendar counts days; default: the zone of ``anchor_date``, else UTC.

    >>> IntervalSchedule(interval=timedelta(hours=1)).model_dump(mode="json", exclude_none=True)
    {'interval': 'PT1H'}
    """

    interval: Annotated[timedelta, BeforeValidator(_interval)]
    anchor_date: datetime | None = Field(default=None, examples=["2020-01-01T00:00:00Z"])
    timezone: str | None = Field(default=None, examples=["America/New_York"])


class CronSchedule(_ScheduleModel):
    """The moments of a cron expression.

    Args:
        cron: five fields, six with seconds as the last one, or an alias such as ``@daily``.
        timezone: IANA name of the zone whose clock is read; default: UTC.
        day_or: with both day fields given, whether one of them suffices.

    >>> CronSchedule(cron="0 9 * * MON-FRI", timezone="America/New_York").to_schedule().cron
    '0 9 * * MON-FRI'
    """

    cron: str = Field(examples=["0 0 * * *"])
    timezone: str | None = Field(default=None, examples=["America/New_York"])
    day_or: bool = True


class RRuleSchedule(_ScheduleModel):
    """The moments of a recurrence rule of RFC 5545.

    Args:
        rrule: the rule, or RRULE, EXRULE, RDATE and EXDATE lines; at most 6,500 characters.
        timezone: IANA name of the zone whose clock is read.

    >>> RRuleSchedule(rrule="FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1").timezone
    'UTC'
    """

    rrule: str
    timezone: str | None = Field(default="UTC", examples=["America/New_York"])

    @classmethod
    def from_rrule(cls, rrule: dateutil_rule | dateutil_set) -> RRuleSchedule:
        """From a rule or a set of rules of dateutil, in the zone of its DTSTART.

        Raises:
            ValueError: the rules of a set begin at different moments or in different zones.

        >>> from dateutil.rrule import DAILY, rrule
        >>> RRuleSchedule.from_rrule(rrule(DAILY, dtstart=datetime(2026, 1, 1, 9))).rrule
        'DTSTART:20260101T090000\\nRRULE:FREQ=DAILY'
        """
        rules = list(rrule._rrule) if isinstance(rrule, dateutil_set) else [rrule]
        starts = {rule._dtstart for rule in rules}
        if len(starts) > 1:
            raise ValueError(f"the rules of a set begin at one moment, not at {', '.join(map(str, sorted(starts)))}")
        zone = next(iter(starts)).tzinfo if starts else None
        text = str(rrule) if not isinstance(rrule, dateutil_set) else _text_of_set(rrule)
        return cls(rrule=text, timezone=_name_of_zone(zone))


def _text_of_set(rules: dateutil_set) -> str:
    lines = [line for rule in rules._rrule for line in str(rule).splitlines()]
    lines += [line.replace("RRULE", "EXRULE") for rule in rules._exrule for line in str(rule).splitlines()[-1:]]
    for name, moments in (("RDATE", rules._rdate), ("EXDATE", rules._exdate)):
        if moments:
            lines.append(f"{name}:{','.join(map(_text_of_moment, moments))}")
    return "\n".join(dict.fromkeys(lines))  # each rule of a set has the DTSTART that they have in common


def _text_of_moment(moment: datetime) -> str:
    if moment.tzinfo is None:
        return f"{moment:%Y%m%dT%H%M%S}"
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _name_of_zone(zone: Any) -> str:
    """The IANA name of a ZoneInfo, or of one of dateutil's zones, which know only the file that they were read from."""
    if zone is None:
        return "UTC"
    name = getattr(zone, "key", None) or str(getattr(zone, "_filename", "UTC")).rpartition("zoneinfo/")[2]
    return name or "UTC"


class NoSchedule(_ScheduleModel):
    """No moment at all: what a deployment without a schedule has."""

    def to_schedule(self) -> None:
        """There is none."""


SCHEDULE_TYPES: TypeAlias = IntervalSchedule | CronSchedule | RRuleSchedule | NoSchedule


def is_schedule_type(obj: Any) -> TypeGuard[SCHEDULE_TYPES]:
    """Whether it is one of the four classes of this module."""
    return isinstance(obj, IntervalSchedule | CronSchedule | RRuleSchedule | NoSchedule)


def construct_schedule(
    interval: float | timedelta | str | None = None,
    anchor_date: datetime | str | None = None,
    cron: str | None = None,
    rrule: str | None = None,
    timezone: str | None = None,
) -> IntervalSchedule | CronSchedule | RRuleSchedule:
    """A schedule from exactly one of ``interval``, ``cron`` and ``rrule``, as in Prefect 3.

    Raises:
        ValueError: none or several of them were given, or an anchor without an interval.

    >>> construct_schedule(interval=1800).interval
    datetime.timedelta(seconds=1800)
    """
    given = {"interval": interval, "cron": cron, "rrule": rrule}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(f"give exactly one of interval, cron and rrule, not {' and '.join(names) or 'none of them'}")
    if anchor_date is not None and interval is None:
        raise ValueError(f"anchor_date={anchor_date!r} belongs to an interval; a {names[0]} has none")
    if cron is not None:
        return CronSchedule(cron=cron, timezone=timezone)
    if rrule is not None:
        return RRuleSchedule(rrule=rrule, timezone=timezone or "UTC")
    return IntervalSchedule.model_validate({"interval": interval, "anchor_date": anchor_date, "timezone": timezone})


__all__ = [
    "SCHEDULE_TYPES",
    "CronSchedule",
    "IntervalSchedule",
    "NoSchedule",
    "RRuleSchedule",
    "construct_schedule",
    "is_schedule_type",
]
