"""Schedules as values: when something is due, as text that can be kept, compared and evaluated anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from orchestrator.schedules.cron import CronTicks
from orchestrator.schedules.interval import IntervalTicks, interval_from
from orchestrator.schedules.policies import CATCHUP_SECONDS, Catchup, Overlap, Policies, check_jitter
from orchestrator.schedules.rrule import RRuleTicks
from orchestrator.schedules.zones import zone_named

MAX_DATES: Final = 1_000
_FIRST_ANCHOR: Final = datetime(2020, 1, 1)


class Ticks(Protocol):
    """The moments at which something is due."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; ``None`` if there is none."""


@dataclass(frozen=True)
class Schedule:
    """When something is due: exactly one of ``interval``, ``cron`` and ``rrule``. Follows Prefect 3's ``Schedule``.

    Args:
        interval: seconds, a timedelta, ``"PT30M"``, ``"00:30:00"`` or ``"1 00:00:00"``; at least a second.
        cron: five fields, six with seconds last (as Prefect reads them), or an alias such as ``@daily``.
        rrule: a rule of RFC 5545, or RRULE, EXRULE, RDATE and EXDATE lines.
        timezone: IANA name of the zone whose clock is read; default: the zone of ``anchor_date``, else UTC.
        anchor_date: a moment at which an interval ticks. It is a phase, not a start: there are ticks before it as well.
        day_or: with both day fields of a cron given, whether one of them suffices.
        active: whether it fires.
        parameters: of the calls that it makes.
        slug: a name for it among the schedules of one deployment.
        catchup: of ticks that nobody was there to fire, within ``catchup_seconds``: ``"latest"`` makes one run, for the
            newest of them, ``"all"`` one for each (at most 1,000, the oldest first), ``"none"`` none.
        catchup_seconds: how far back missed ticks are made up for.
        overlap: when a tick comes and the schedule's last run is not over: ``"allow"`` makes another run all the same,
            ``"skip"`` none, ``"buffer-one"`` lets one wait for it, ``"replace-waiting"`` the newest (that which waited
            is Cancelled, named Superseded), ``"cancel-running"`` cancels it and runs afterwards.
        jitter: seconds over which starts are spread, below the shortest gap between ticks; a tick's share is always the
            same, and its scheduled time stays the tick.
        until: the last moment at which it may be due.
        max_runs: it is over after so many runs.
        pause_on_failure: it pauses after so many failed runs in a row.

    Raises:
        ValueError: none or several of the three, or one that is not valid or never fires; the value is in the message.
        TypeError: an interval of another type.

    >>> Cron("0 9 * * MON-FRI", timezone="Europe/Oslo").next_after(datetime(2026, 1, 2, 12, tzinfo=UTC)).isoformat()
    '2026-01-05T08:00:00+00:00'
    """

    interval: timedelta | None = None
    cron: str | None = None
    rrule: str | None = None
    timezone: str | None = None
    anchor_date: datetime | None = None
    day_or: bool = True
    active: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    slug: str | None = None
    catchup: Catchup = "latest"
    catchup_seconds: float = CATCHUP_SECONDS
    overlap: Overlap = "allow"
    jitter: float = 0.0
    until: datetime | None = None
    max_runs: int | None = None
    pause_on_failure: int | None = None
    _ticks: Ticks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = [name for name in ("interval", "cron", "rrule") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"a schedule has exactly one of interval, cron and rrule, not {found}")
        for name in ("anchor_date", "until"):
            object.__setattr__(self, name, _moment(name, getattr(self, name)))
        zone = self.zone
        ticks: Ticks
        if self.interval is not None:
            interval = interval_from(self.interval)
            object.__setattr__(self, "interval", interval)
            ticks = IntervalTicks(interval, _aware(self.anchor_date or _FIRST_ANCHOR, zone), zone)
        elif self.cron is not None:
            ticks = CronTicks(self.cron, zone, self.day_or)
        else:
            assert self.rrule is not None
            ticks = RRuleTicks(self.rrule, zone)
        object.__setattr__(self, "_ticks", ticks)
        self._check_policies()

    def _check_policies(self) -> None:
        Policies(
            self.catchup, self.catchup_seconds, self.overlap, self.jitter, self.until, self.max_runs,
            self.pause_on_failure,
        )  # fmt: skip
        check_jitter(self.jitter, self.next_after)

    @property
    def zone(self) -> ZoneInfo:
        """Whose clock is read. Raises ValueError: there is no such zone."""
        if self.timezone is not None:
            return zone_named(self.timezone)
        anchored = self.anchor_date.tzinfo if self.anchor_date is not None else None
        return anchored if isinstance(anchored, ZoneInfo) else ZoneInfo("UTC")

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment that has a zone, in UTC; ``None`` if there is none, or none up to ``until``."""
        tick = self._ticks.next_after(moment)
        return None if tick is None or (self.until is not None and tick > self.until) else tick

    def ticks(self, start: datetime, end: datetime | None = None) -> Iterator[datetime]:
        """Ticks from ``start`` on (it may be one) up to ``end`` (it may be one, too), in UTC."""
        tick = self.next_after(start - timedelta(microseconds=1))
        while tick is not None and (end is None or tick <= end):
            yield tick
            tick = self.next_after(tick)

    async def get_dates(
        self, n: int | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> list[datetime]:
        """Ticks in the zone of the schedule, at most 1,000: ``n`` of them, or those up to ``end``.

        A coroutine, as in Prefect; naive moments are read in the schedule's zone. Without ``start``: from now on.
        """
        first = _aware(start, self.zone) if start is not None else datetime.now(UTC)
        last = _aware(end, self.zone) if end is not None else None
        most = MAX_DATES if n is None and end is not None else min(1 if n is None else n, MAX_DATES)
        return [tick.astimezone(self.zone) for tick, _ in zip(self.ticks(first, last), range(most), strict=False)]


def Cron(cron: str, /, timezone: str | None = None, **more: Any) -> Schedule:
    """A schedule from a cron expression; more keywords and the errors are those of :class:`Schedule`.

    >>> Cron("30 6 * * MON", timezone="Europe/Oslo").next_after(datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2026-01-05T05:30:00+00:00'
    """
    return Schedule(cron=cron, timezone=timezone, **more)


def Interval(
    interval: float | timedelta | str, /, anchor_date: datetime | None = None, timezone: str | None = None, **more: Any
) -> Schedule:
    """A schedule that ticks every so many seconds; more keywords and the errors are those of :class:`Schedule`.

    >>> Interval("PT30M").next_after(datetime(2026, 1, 1, 12, 1, tzinfo=UTC)).isoformat()
    '2026-01-01T12:30:00+00:00'
    """
    return Schedule(interval=interval_from(interval), anchor_date=anchor_date, timezone=timezone, **more)


def RRule(rrule: str, /, timezone: str | None = None, **more: Any) -> Schedule:
    """A schedule from a recurrence rule of RFC 5545; more keywords and the errors are those of :class:`Schedule`.

    >>> RRule("FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9").next_after(datetime(2026, 2, 1, tzinfo=UTC)).isoformat()
    '2026-02-28T09:00:00+00:00'
    """
    return Schedule(rrule=rrule, timezone=timezone, **more)


def _moment(name: str, value: Any) -> datetime | None:
    """A moment as code or files have it: YAML makes days of some texts, and leaves others texts."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name}={value!r} is no moment: write 2030-01-31 or 2030-01-31T14:00") from None
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise TypeError(f"{name}={value!r} must be a datetime")


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
