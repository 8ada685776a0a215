"""Recurrence rules of RFC 5545: what a text means, and when it is due next.

dateutil evaluates. It knows no zones that change their clocks and walks from DTSTART: here a rule of days and longer is
evaluated in local time and then put on the clock, a rule of hours and shorter piece by piece where one offset holds,
and DTSTART is moved forward before it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import prod
from typing import Any, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY, rrule, rrulestr

from orchestrator.schedules.effort import TooMuchWork, spend
from orchestrator.schedules.zones import instant_of, next_change, offset_at, zone_named

MAX_LENGTH: Final = 6_500  # characters, as in Prefect
MAX_COUNT: Final = 10_000  # of days and longer
MAX_FINE_COUNT: Final = 1_000  # of hours and shorter, which are found one by one: 0.1 ms each
_MAX_LEFT_OUT: Final = 1_000  # ticks in a row that EXRULE or EXDATE take away: 0.1 ms each
_LONGEST_PIECE: Final = timedelta(days=400)
_SECOND: Final = timedelta(seconds=1)
_YEARS_AHEAD: Final = 30
_DEFAULT_START: Final = datetime(2020, 1, 1)
_UNIT: Final = {
    WEEKLY: timedelta(weeks=1),
    DAILY: timedelta(days=1),
    HOURLY: timedelta(hours=1),
    MINUTELY: timedelta(minutes=1),
    SECONDLY: timedelta(seconds=1),
}
_DAY_PARTS: Final = ("bymonth", "bymonthday", "byyearday", "byweekno", "byweekday", "byeaster")


@dataclass(frozen=True, slots=True)
class RRuleTicks:
    """The ticks of a recurrence rule, or of a set of RRULE, EXRULE, RDATE and EXDATE lines, in a zone.

    Args:
        text: the rule; ``RRULE:`` may be left out. Without DTSTART it begins at 2020-01-01T00:00 in the zone, so that
            it means the same whenever it is deployed.
        zone: whose clock the rule reads.

    Raises:
        ValueError: the text is no rule, or never fires.
    """

    text: str
    zone: ZoneInfo
    _set: _RuleSet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_set", _rule_set(self.text, self.zone.key))

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; ``None`` if there is none within thirty years.

        >>> RRuleTicks("FREQ=WEEKLY;BYDAY=MO;BYHOUR=9", ZoneInfo("Europe/Oslo")).next_after(
        ...     datetime(2026, 1, 2, 12, tzinfo=UTC))
        datetime.datetime(2026, 1, 5, 8, 0, tzinfo=datetime.timezone.utc)
        """
        return self._set.next_after(moment.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class _Rule:
    """One RRULE or EXRULE without its end, which is an instant here."""

    rule: Any  # dateutil's, with a DTSTART in local time
    zone: ZoneInfo
    start: datetime
    until: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        moment = max(moment, self.start - _SECOND)
        tick = self._coarse(moment) if self.is_coarse else self._fine(moment)
        return None if tick is None or (self.until is not None and tick > self.until) else tick

    @property
    def is_coarse(self) -> bool:
        return bool(self.rule._freq <= DAILY)

    # -- days and longer: local time, then put on the clock --------------------------------------------------------

    def _coarse(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self.zone).replace(tzinfo=None) - timedelta(days=1)
        end = _years_later(local, _YEARS_AHEAD)
        for candidate in _moved_forward(self.rule, local).replace(until=end):
            spend()
            instant = instant_of(candidate, self.zone)
            if instant > moment:
                return instant
        return None

    # -- hours and shorter: elapsed time, with the BY parts read in local time ---------------------------------------

    def _fine(self, moment: datetime) -> datetime | None:
        end = _years_later(moment, _YEARS_AHEAD)
        while moment < end - _SECOND:  # each piece ends one second before the next begins
            spend()
            start = moment + timedelta(seconds=1)
            piece_end = min(start + _LONGEST_PIECE, end)
            piece_end = next_change(start, piece_end, self.zone) or piece_end
            tick = self._with_offset(offset_at(start, self.zone), moment, piece_end)
            if tick is not None:
                return tick
            moment = piece_end - timedelta(seconds=1)
        return None

    def _with_offset(self, offset: timedelta, moment: datetime, end: datetime) -> datetime | None:
        """The first tick after ``moment`` and before ``end``, between which one offset holds."""
        local, local_end, start = ((instant + offset).replace(tzinfo=None) for instant in (moment, end, self.start))
        try:
            rule = self.rule.replace(dtstart=start)
            for begin, length in _windows(rule, local, local_end):
                spend()
                last = min(begin + length, local_end) - _SECOND
                piece = _moved_forward(rule, max(begin, local)).replace(until=last)
                found: datetime | None = piece.after(max(local, begin - _SECOND))
                if found is not None:
                    return (found - offset).replace(tzinfo=UTC)
        except TooMuchWork:
            raise
        except ValueError:  # with this offset its hours are never reached
            pass
        return None


@dataclass(frozen=True, slots=True)
class _RuleSet:
    """Rules and dates, and rules and dates that are left out."""

    rules: tuple[_Rule, ...]
    dates: tuple[datetime, ...]
    left_out_rules: tuple[_Rule, ...]
    left_out_dates: frozenset[datetime]

    def next_after(self, moment: datetime) -> datetime | None:
        for _ in range(_MAX_LEFT_OUT):
            spend()
            found = [tick for rule in self.rules if (tick := rule.next_after(moment)) is not None]
            found += [date for date in self.dates if date > moment]
            if not found:
                return None
            moment = min(found)
            if not self._is_left_out(moment):
                return moment
        raise ValueError(f"EXRULE and EXDATE leave out more than {_MAX_LEFT_OUT:,} moments in a row")

    def _is_left_out(self, tick: datetime) -> bool:
        before = tick - timedelta(seconds=1)
        return tick in self.left_out_dates or any(rule.next_after(before) == tick for rule in self.left_out_rules)


def _windows(rule: Any, local: datetime, end: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Days, or hours, on which a rule of hours or shorter may be due; from the one that ``local`` is in."""
    by = {name: value for name, value in rule._original_rule.items() if value and name in _DAY_PARTS}
    hours = rule._original_rule.get("byhour")
    if rule._freq != HOURLY and hours:
        begin, length = local.replace(minute=0, second=0, microsecond=0), timedelta(hours=1)
        windows = rrule(HOURLY, dtstart=begin, byhour=hours, byminute=0, bysecond=0, until=end, **by)
    else:
        begin, length = local.replace(hour=0, minute=0, second=0, microsecond=0), timedelta(days=1)
        windows = rrule(DAILY, dtstart=begin, until=end, **by)
    for window in windows:
        yield window, length


def _moved_forward(rule: Any, moment: datetime) -> Any:
    """The rule with its DTSTART moved by whole intervals to shortly before a moment, so that it need not walk there."""
    unit = _UNIT.get(rule._freq)
    if unit is None:
        return rule
    steps = (moment - rule._dtstart) // (unit * rule._interval) - 1
    return rule.replace(dtstart=rule._dtstart + steps * unit * rule._interval) if steps > 0 else rule


def _years_later(moment: datetime, years: int) -> datetime:
    return moment.replace(year=min(moment.year + years, 9998), day=min(moment.day, 28))


# -- reading the text ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _rule_set(text: str, zone_name: str) -> _RuleSet:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"an rrule is a text such as 'FREQ=DAILY;BYHOUR=9', not {text!r}")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an rrule has at most {MAX_LENGTH:,} characters, this one has {len(text):,}")
    zone = zone_named(zone_name)
    lines = _lines(text)
    starts = [value for name, value in lines if name.startswith("DTSTART")]
    if len(starts) > 1:
        raise ValueError(f"rrule {text!r} has {len(starts)} DTSTART lines; one is allowed")
    start_zone = next((_zone_of(name, zone) for name, _ in lines if name.startswith("DTSTART")), zone)
    start = _moment(starts[0], start_zone, text) if starts else instant_of(_DEFAULT_START, zone)
    rules = tuple(_rule(value, start, zone, text) for name, value in lines if name == "RRULE")
    dates = tuple(sorted(_dates(lines, "RDATE", zone, text)))
    if not rules and not dates:
        raise ValueError(f"rrule {text!r} has neither a RRULE nor a RDATE")
    left_out = tuple(_rule(value, start, zone, text) for name, value in lines if name == "EXRULE")
    found = _RuleSet(rules, dates, left_out, frozenset(_dates(lines, "EXDATE", zone, text)))
    try:
        first = found.next_after(start - _SECOND)
    except ValueError as error:
        raise ValueError(f"rrule {text!r}: {error}") from None
    if first is None:
        raise ValueError(f"rrule {text!r} never fires")
    return found


def _lines(text: str) -> list[tuple[str, str]]:
    """Names (upper case, with their parameters) and values; a line without a name is a RRULE."""
    lines = []
    for line in re.sub(r"\r?\n[ \t]", "", text.strip()).splitlines():
        name, colon, value = line.strip().partition(":")
        if not line.strip():
            continue
        if not colon:
            name, value = "RRULE", line.strip()
        if name.upper().split(";")[0] not in ("RRULE", "EXRULE", "RDATE", "EXDATE", "DTSTART"):
            raise ValueError(f"rrule {text!r}: a line {name!r} is not known")
        lines.append((name.upper() if ";" not in name else name.split(";")[0].upper() + name[name.index(";") :], value))
    return lines


def _rule(value: str, start: datetime, zone: ZoneInfo, text: str) -> _Rule:
    parts = dict(part.upper().partition("=")[::2] for part in value.strip().strip(";").split(";") if part)
    until, count = parts.pop("UNTIL", None), parts.pop("COUNT", None)
    if until is not None and count is not None:
        raise ValueError(f"rrule {text!r} has both UNTIL and COUNT; RFC 5545 allows one of them")
    local = start.astimezone(zone).replace(tzinfo=None)
    try:
        bare = rrulestr(";".join(f"{name}={part}" for name, part in parts.items()), dtstart=local)
    except Exception as error:  # dateutil fails in many ways: KeyError, AttributeError, ...
        raise ValueError(f"rrule {text!r} is not valid: {error}") from None
    if bare._interval < 1:
        raise ValueError(f"rrule {text!r}: INTERVAL is at least 1")
    if not _has_days(bare) or not _has_positions(bare):
        raise ValueError(f"rrule {text!r} never fires")
    rule = _Rule(bare, zone, start, _moment(until, zone, text, end_of_day=True) if until else None)
    return rule if count is None else _Rule(bare, zone, start, _last_of(rule, count, text))


def _has_days(rule: Any) -> bool:
    """Whether any day fits. dateutil looks for one until the year 9999, in steps as small as the rule's: years here."""
    by = {name: value for name, value in rule._original_rule.items() if value and name in _DAY_PARTS}
    return not by or next(iter(rrule(YEARLY, dtstart=rule._dtstart, **by)), None) is not None


def _has_positions(rule: Any) -> bool:
    """Whether a period is large enough for one of the positions of BYSETPOS."""
    if not rule._bysetpos:
        return True
    days = {YEARLY: 366, MONTHLY: 31, WEEKLY: len(rule._byweekday or (0,))}.get(rule._freq, 1)
    clock = [
        values for values in (rule._byhour, rule._byminute, rule._bysecond)[max(0, rule._freq - DAILY) :] if values
    ]
    size = days * prod(len(values) for values in clock)
    return any(abs(position) <= size for position in rule._bysetpos)


def _last_of(rule: _Rule, count: str, text: str) -> datetime:
    """The instant of the tick that a COUNT ends with."""
    most = MAX_COUNT if rule.is_coarse else MAX_FINE_COUNT
    if not count.isdigit() or not 1 <= int(count) <= most:
        raise ValueError(f"rrule {text!r}: COUNT is between 1 and {most:,}; use UNTIL for more")
    if rule.is_coarse:
        moments = list(islice(rule.rule, int(count)))
        return instant_of(moments[-1], rule.zone) if moments else rule.start
    tick = rule.start - _SECOND
    for _ in range(int(count)):
        following = rule.next_after(tick)
        if following is None:
            break
        tick = following
    return tick


def _dates(lines: list[tuple[str, str]], name: str, zone: ZoneInfo, text: str) -> list[datetime]:
    return [
        _moment(part, _zone_of(line, zone), text)
        for line, value in lines
        if line.split(";")[0] == name
        for part in value.split(",")
    ]


def _zone_of(line: str, zone: ZoneInfo) -> ZoneInfo:
    match = re.search(r";TZID=([^;:]+)", line, re.I)
    return zone_named(match[1]) if match else zone


def _moment(value: str, zone: ZoneInfo, text: str, end_of_day: bool = False) -> datetime:
    match = re.fullmatch(r"(\d{8})(?:T(\d{6})(Z?))?", value.strip().upper())
    try:
        if match is None:
            raise ValueError
        clock = match[2] or ("235959" if end_of_day else "000000")
        naive = datetime.strptime(match[1] + clock, "%Y%m%d%H%M%S")
    except ValueError:
        raise ValueError(
            f"rrule {text!r}: {value!r} is no moment such as 20260131T090000 or 20260131T090000Z"
        ) from None
    return naive.replace(tzinfo=UTC) if match[3] else instant_of(naive, zone)
