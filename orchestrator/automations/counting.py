"""How events add up to a firing: pure decisions on counts. Follows Prefect 3's rules (``server.events.triggers``).

A bucket counts the events of a time. A Reactive trigger fires as soon as there are enough, and the events of the rest
of that time are let pass; a Proactive one fires at the end of it if there were too few.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.automations.matching import expects, opens
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.events.schemas.triggers import (
    CompositeTrigger,
    CompoundTrigger,
    EventTrigger,
    Posture,
)

LATE_MS: Final = 60_000  # events that came a little earlier than the first one that was seen count as well


class Bucket(NamedTuple):
    """The events ``seen`` from a moment (ms by the server's clock) until another; ``last`` is the last of them."""

    start_ms: int
    end_ms: int
    seen: int
    last: SeenEvent | None = None


class ChildFiring(NamedTuple):
    """A trigger in another one has fired."""

    child: int
    at_ms: int


class Counted(NamedTuple):
    """What became of a bucket, and whether its trigger fired."""

    bucket: Bucket | None
    fired: bool


def within_ms(trigger: EventTrigger) -> int:
    """The time in which its events count."""
    return round(trigger.within.total_seconds() * 1000)


def is_proactive(trigger: EventTrigger) -> bool:
    """Whether it fires when events do not come."""
    return trigger.posture is Posture.Proactive


def count_event(trigger: EventTrigger, bucket: Bucket | None, event: SeenEvent) -> Counted:
    """An event that the trigger covers has come."""
    at, counts = event.at_ms, expects(trigger, event.event)
    if bucket is not None and _is_past(trigger, bucket, at):
        bucket = None
    if bucket is None:
        if trigger.after:
            if not opens(trigger, event.event):
                return Counted(None, False)
            bucket = Bucket(at, at + within_ms(trigger), -1 if counts else 0, event)
        else:
            bucket = Bucket(at - LATE_MS, at + within_ms(trigger), 0, event)
    if not counts or at < bucket.start_ms:
        return Counted(bucket, False)
    bucket = bucket._replace(seen=bucket.seen + 1, last=event)
    if is_proactive(trigger) or bucket.seen < trigger.threshold:
        return Counted(bucket, False)
    return Counted(_next(trigger, bucket, max(at, bucket.end_ms)), True)


def count_time(trigger: EventTrigger, bucket: Bucket, now_ms: int) -> Counted:
    """The time of a Proactive trigger's bucket may be over."""
    if now_ms < bucket.end_ms:
        return Counted(bucket, False)
    missed = now_ms - bucket.end_ms >= within_ms(trigger)  # nobody looked for longer: those times are not made up for
    following = _next(trigger, bucket._replace(seen=0), now_ms if missed else bucket.end_ms)
    return Counted(following, bucket.seen < trigger.threshold)


def first_bucket(trigger: EventTrigger, since_ms: int) -> Bucket:
    """Of a Proactive trigger that waits for no event to begin."""
    return Bucket(since_ms, since_ms + within_ms(trigger), 0)


def _is_past(trigger: EventTrigger, bucket: Bucket, at_ms: int) -> bool:
    """Whether its time is over; without a time it never is, and a Proactive one's is looked at when it is."""
    return not is_proactive(trigger) and within_ms(trigger) > 0 and at_ms >= bucket.end_ms


def _next(trigger: EventTrigger, bucket: Bucket, start_ms: int) -> Bucket | None:
    if trigger.after or not within_ms(trigger):
        return None
    return Bucket(start_ms, start_ms + within_ms(trigger), 0, bucket.last)


def count_child(
    trigger: CompositeTrigger, before: tuple[ChildFiring, ...], child: int, at_ms: int
) -> tuple[tuple[ChildFiring, ...], bool]:
    """One of its triggers has fired: those that count from now on, and whether it fires itself."""
    needed = trigger.needed
    if needed == 1:
        return (), True
    oldest = at_ms - round(trigger.within.total_seconds() * 1000) if trigger.within is not None else None
    kept = [one for one in before if one.child != child and (oldest is None or one.at_ms >= oldest)]
    kept.append(ChildFiring(child, at_ms))
    if isinstance(trigger, CompoundTrigger):
        ready = len(kept) >= needed
    else:
        ready = [one.child for one in kept] == list(range(needed))
    return ((), True) if ready else (tuple(kept), False)
