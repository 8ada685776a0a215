"""Counts on their way to the store and back: named, packed, and read whatever became of them."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

import msgpack

from orchestrator.automations.causes import Guard
from orchestrator.automations.counting import Bucket, ChildFiring, within_ms
from orchestrator.automations.evaluation import Count, CountId, Rule
from orchestrator.automations.matching import trigger_at
from orchestrator.automations.seen_event import seen_of_facts
from orchestrator.events.schemas.triggers import CompositeTrigger, EventTrigger

_DAY_MS: Final = 86_400_000
ENDLESS_MS: Final = 30 * _DAY_MS  # what has no time of its own is forgotten when nothing has counted for so long
PROACTIVE_MS: Final = 30 * _DAY_MS  # nobody looked for so long


class StoredCount(NamedTuple):
    """A count as it was read."""

    id: CountId
    value: Count


def name_of(one: CountId) -> str:
    """Its name in the store."""
    text = repr((one.mark, one.path, one.key)).encode()
    return f"{one.rule_id}:{hashlib.blake2b(text, digest_size=12).hexdigest()}"


def guard_name(automation_id: str) -> str:
    """The name of an automation's guard."""
    return f"{automation_id}:guard"


def pack_count(one: CountId, count: Count) -> bytes:
    """A count with its id."""
    if isinstance(count, Bucket):
        last = count.last.as_facts() if count.last is not None else None
        value: Any = ["b", count.start_ms, count.end_ms, count.seen, last]
    else:
        value = ["c", [list(child) for child in count]]
    packed: bytes = msgpack.packb([[one.rule_id, one.mark, list(one.path), list(one.key)], value])
    return packed


def read_count(packed: bytes | None) -> StoredCount | None:
    """A count; ``None`` where there is none, or it is damaged: then it begins anew."""
    if packed is None:
        return None
    try:
        (rule_id, mark, path, key), (kind, *rest) = msgpack.unpackb(packed)
        one = CountId(str(rule_id), str(mark), tuple(map(int, path)), tuple(map(str, key)))
        if kind == "b":
            start_ms, end_ms, number, last = rest
            return StoredCount(one, Bucket(int(start_ms), int(end_ms), int(number), seen_of_facts(last)))
        return StoredCount(one, tuple(ChildFiring(int(child), int(at_ms)) for child, at_ms in rest[0]))
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return None


def ttl_of(rule: Rule, one: CountId, count: Count, now_ms: int) -> int:
    """How long it means anything, in ms."""
    trigger = trigger_at(rule.trigger, one.path)
    if isinstance(trigger, CompositeTrigger) and trigger.within is not None:
        return max(1_000, round(trigger.within.total_seconds() * 1000)) + 60_000
    if isinstance(trigger, EventTrigger) and isinstance(count, Bucket) and within_ms(trigger):
        late = PROACTIVE_MS if trigger.posture == "Proactive" else 60_000
        return max(1_000, count.end_ms - now_ms) + late
    return ENDLESS_MS


def pack_guard(guard: Guard) -> bytes:
    """A guard."""
    packed: bytes = msgpack.packb(list(guard))
    return packed


def read_guard(packed: bytes | None) -> Guard:
    """A guard; a damaged one begins anew."""
    try:
        since_ms, count = msgpack.unpackb(packed) if packed else (0, 0)
        return Guard(int(since_ms), int(count))
    except Exception:
        return Guard()
