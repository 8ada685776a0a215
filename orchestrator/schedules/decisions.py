"""What a schedule that is due has to do now: which ticks get a run, how many were missed, when it is due next. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from orchestrator.schedules.effort import SECONDS_PER_QUESTION, limited
from orchestrator.schedules.policies import MAX_CAUGHT_UP
from orchestrator.schedules.schedule import Schedule

TICKS_AT_ONCE: Final = 100
EFFORT_SECONDS: Final = SECONDS_PER_QUESTION
LATE_NOT_MISSED: Final = timedelta(seconds=60)
_COUNTED: Final = 1_000  # missed ticks that are counted one by one; of more, about how many there were is worked out
_SECOND: Final = timedelta(seconds=1)


class Decision(NamedTuple):
    """What to do about a schedule that is due.

    Attributes:
        fire: the ticks that get a run, oldest first, at most :data:`TICKS_AT_ONCE`.
        missed: how many ticks get none although they were due; about, where there were more than 1,000.
        next_tick: when it is due next; not after now where more has to be made up for; ``None``: never again.
    """

    fire: tuple[datetime, ...]
    missed: int
    next_tick: datetime | None


def decide(
    schedule: Schedule,
    due: datetime,
    now: datetime,
    *,
    back_at: datetime,
    skipped: Collection[datetime] = (),
    at_once: int = TICKS_AT_ONCE,
) -> Decision:
    """Decide about a schedule.

    A tick up to ``back_at`` was missed: nobody was there to fire it. So was one that is more than a minute late. A
    later one is merely late, and always gets its run.

    Args:
        schedule: what is due.
        due: its first tick that has not been dealt with.
        now: the moment, by the store's clock.
        back_at: since when somebody has looked without a longer break.
        skipped: ticks that people have taken out.
        at_once: how many runs may be made.

    Raises:
        ValueError: the schedule cannot be evaluated (TooMuchWork: not with a reasonable effort).

    >>> from datetime import UTC
    >>> from orchestrator.schedules import Interval
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> decision = decide(Interval(10), noon, noon + timedelta(seconds=95), back_at=noon + timedelta(seconds=94))
    >>> [f"{tick:%H:%M:%S}" for tick in decision.fire], decision.missed, f"{decision.next_tick:%H:%M:%S}"
    (['12:01:30'], 9, '12:01:40')
    """
    if due > now:
        return Decision((), 0, due)
    missed_until = max(min(back_at, now), now - LATE_NOT_MISSED)
    chosen, missed = _made_up_for(schedule, due, missed_until, now, skipped)
    first_late = due if due > missed_until else _next(schedule, missed_until)
    wanted = [*chosen, *(tick for tick in _ticks(schedule, first_late, now) if tick not in skipped)]
    if len(wanted) > at_once:
        return Decision(tuple(wanted[:at_once]), missed, wanted[at_once])
    return Decision(tuple(wanted), missed, _next(schedule, now))


def _made_up_for(
    schedule: Schedule, due: datetime, until: datetime, now: datetime, skipped: Collection[datetime]
) -> tuple[list[datetime], int]:
    """Which of the missed ticks get a run, and how many do not."""
    if due > until:
        return [], 0
    count = _count(schedule, due, until) - sum(due <= tick <= until for tick in skipped)
    floor = max(due, now - timedelta(seconds=schedule.catchup_seconds))
    most = {"none": 0, "latest": 1, "all": MAX_CAUGHT_UP}[schedule.catchup]
    ticks = _newest(schedule, floor, until, most + len(skipped))
    if due == floor and due not in ticks and len(ticks) < most:  # whoever set it had other data of the zone
        ticks.insert(0, due)
    chosen = [tick for tick in ticks if tick not in skipped]
    chosen = chosen[-most:] if most else []
    return chosen, max(0, count - len(chosen))


def _newest(schedule: Schedule, start: datetime, end: datetime, most: int) -> list[datetime]:
    """The last ticks between two moments, both included, at most so many; found by halving, not by walking there."""
    found: list[datetime] = []
    while len(found) < most and (tick := _last_up_to(schedule, start, end)) is not None:
        span = end - tick
        # Where there was one there may be many: a stretch as long as some of them is walked at once.
        begin = max(start, tick - max(span, _SECOND) * 32)
        stretch = [one for one in _ticks(schedule, _next(schedule, begin - _SECOND), tick) if one >= begin]
        found = [*stretch[-(most - len(found)) :], *found]
        end = begin - timedelta(microseconds=1)
    return found


def _last_up_to(schedule: Schedule, start: datetime, end: datetime) -> datetime | None:
    """The last tick between two moments, both included."""
    low = start - timedelta(microseconds=1)
    tick = _next(schedule, low)
    if tick is None or tick > end:
        return None
    high = end
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        later = _next(schedule, middle)
        if later is not None and later <= end:
            low, tick = middle, later
        else:
            high = middle
    while (later := _next(schedule, tick)) is not None and later <= end:
        tick = later
    return tick


def _count(schedule: Schedule, due: datetime, until: datetime) -> int:
    count, last = 0, due
    for tick in _ticks(schedule, due, until):
        count, last = count + 1, tick
        if count > _COUNTED:
            return round(count * ((until - due) / max(last - due, _SECOND)))
    return count


def _ticks(schedule: Schedule, first: datetime | None, until: datetime) -> Iterator[datetime]:
    while first is not None and first <= until:
        yield first
        first = _next(schedule, first)


def _next(schedule: Schedule, moment: datetime) -> datetime | None:
    with limited(EFFORT_SECONDS):
        return schedule.next_after(moment)
