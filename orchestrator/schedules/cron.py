"""Cron: what an expression means, and when it is due next.

cronsim evaluates; here the dialects that people bring along are written in its own: croniter's (Prefect) seconds come
last and cronsim's first, ranges may wrap (``FRI-MON``), ``L5`` is the last Friday, and there are aliases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.schedules.effort import spend

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FIRST_AND_LAST: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6), (0, 59))  # as croniter orders them
_MAX_LENGTH: Final = 500
_MAX_TRIES: Final = 20_000  # ticks looked at for one that fits both day fields: more than the days of fifty years


@dataclass(frozen=True, slots=True)
class CronTicks:
    """The ticks of a cron expression in a zone.

    Args:
        expression: five fields, six with seconds last, or an alias such as ``@daily``.
        zone: whose clock the expression reads.
        day_or: with both day fields given, whether one of them suffices.

    Raises:
        ValueError: the expression is none, or never fires.
    """

    expression: str
    zone: ZoneInfo
    day_or: bool = True

    def __post_init__(self) -> None:
        _checked(self.expression, self.day_or)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; ``None`` if there is none.

        Fixed times follow Debian's cron: they are due once when clocks change, at the first moment after a gap.
        Expressions with ``*`` in minute or hour, or with seconds, follow elapsed time.

        >>> CronTicks("0 9 * * MON-FRI", ZoneInfo("Europe/Oslo")).next_after(datetime(2026, 1, 2, 12, tzinfo=UTC))
        datetime.datetime(2026, 1, 5, 8, 0, tzinfo=datetime.timezone.utc)
        """
        text, weekdays = _translated(self.expression, self.day_or)
        days = _days_of(weekdays) if weekdays else None
        ticks = CronSim(text, moment.astimezone(self.zone))
        for _ in range(_MAX_TRIES):
            spend()
            try:
                tick = next(ticks)
            except (StopIteration, OverflowError, ValueError):  # the calendar ends with the year 9999
                return None
            instant = tick.astimezone(UTC)
            if instant <= moment:  # asked in the second pass through a repeated hour
                continue
            local = instant.astimezone(self.zone)
            if ticks.fixup_tz is None and not _matches(ticks, local):  # a midnight that the clocks leave out
                continue
            if days is None or days.match_dow(tick.date()):
                return instant
        return None


def _matches(ticks: CronSim, local: datetime) -> bool:
    return (
        local.second in ticks.seconds
        and local.minute in ticks.minutes
        and local.hour in ticks.hours
        and local.month in ticks.months
        and ticks.match_day(local.date())
    )


@lru_cache(maxsize=1024)
def _checked(expression: str, day_or: bool) -> None:
    """Raises ValueError for what is no expression, or one that never fires."""
    text, weekdays = _translated(expression, day_or)
    try:
        if weekdays:
            _days_of(weekdays)
        CronSim(text, datetime(2024, 1, 1))
    except CronSimError as error:
        if _never_fires(text):
            raise ValueError(f"cron {expression!r} never fires: no month of it has such a day") from None
        raise ValueError(f"cron {expression!r}: {_lowered(str(error))}") from None
    if CronTicks.next_after(_unchecked(expression, day_or), datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise ValueError(f"cron {expression!r} never fires within 50 years")


def _unchecked(expression: str, day_or: bool) -> CronTicks:
    ticks = object.__new__(CronTicks)
    for name, value in (("expression", expression), ("zone", ZoneInfo("UTC")), ("day_or", day_or)):
        object.__setattr__(ticks, name, value)
    return ticks


def _never_fires(text: str) -> bool:
    """Whether an expression is refused only because no month of it is long enough."""
    fields = text.split()
    day = -3
    try:
        CronSim(" ".join([*fields[:day], "1", *fields[day + 1 :]]), datetime(2024, 1, 1))
        CronSim(" ".join([*fields[:day], fields[day], "*", fields[day + 2]]), datetime(2024, 1, 1))
    except CronSimError:
        return False
    return True


def _days_of(weekdays: str) -> CronSim:
    return CronSim(f"0 0 1 * {weekdays}", datetime(2024, 1, 1))


@lru_cache(maxsize=1024)
def _translated(expression: str, day_or: bool) -> tuple[str, str | None]:
    """The expression as cronsim reads it, and a weekday field that has to fit as well.

    >>> _translated("* * * * * */20", True)
    ('*/20 * * * * *', None)
    >>> _translated("0 9 * * FRI-MON", True)
    ('0 9 * * 5,6,0,1', None)
    """
    fields = _fields(expression)
    fields = [_field(text, position) for position, text in enumerate(fields)]
    weekdays = None
    if not day_or and fields[2] != "*" and fields[4] != "*":
        weekdays, fields[4] = fields[4], "*"
    if len(fields) == 6:
        fields = [fields[5], *fields[:5]]
    return " ".join(fields), weekdays


def _fields(expression: str) -> list[str]:
    text = expression.strip() if isinstance(expression, str) else ""
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"a cron expression has at most {_MAX_LENGTH} characters, this one has {len(text)}")
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise ValueError(f"cron {text!r} is not known; there are {', '.join(sorted(ALIASES))}")
        text = ALIASES[text.lower()]
    fields = text.upper().split()
    if len(fields) not in (5, 6):
        raise ValueError(f"cron {expression!r} has {len(fields)} fields; it needs 5, or 6 with seconds as the last one")
    if any(re.search(r"(?<![A-Z])[HR](?![A-Z])", field) for field in fields):
        raise ValueError(f"cron {expression!r}: random and hashed fields (R, H) are not supported; use jitter=")
    return fields


def _field(text: str, position: int) -> str:
    if text == "?" and position in (2, 4):
        return "*"
    return ",".join(_term(part, position) for part in text.split(","))


def _term(text: str, position: int) -> str:
    """One part of a field: names become numbers, ranges that wrap become lists."""
    if position == 4:
        text = _last_weekday(re.sub("|".join(_DAYS), lambda name: str(_DAYS.index(name[0])), text))
    if position == 3:
        text = re.sub("|".join(_MONTHS), lambda name: str(_MONTHS.index(name[0]) + 1), text)
    match = re.fullmatch(r"(\d+)-(\d+)(?:/(\d+))?", text)
    if match is None or int(match[2]) >= int(match[1]) or int(match[3] or 1) == 0:
        return text
    first, last = _FIRST_AND_LAST[position]
    start, end, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if not (first <= end and start <= (7 if position == 4 else last)):
        return text  # out of range: cronsim names the field
    around = [*range(start, last + 1), *range(first, end + 1)] if start <= last else [*range(first, end + 1)]
    return ",".join(str(value) for value in around[::step])


def _last_weekday(text: str) -> str:
    match = re.fullmatch(r"L([0-7])", text)
    return f"{match[1]}L" if match else text


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
