"""What events and the time that passes make of the counts of automations: new counts, and firings. Nothing is read.

The same events give the same firings however they are cut into portions.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from orchestrator.automations.counting import (
    Bucket,
    ChildFiring,
    count_child,
    count_event,
    count_time,
    first_bucket,
    is_proactive,
)
from orchestrator.automations.matching import Path, covers, key_of, leaves, trigger_at
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.events.schemas.triggers import CompositeTrigger, EventTrigger, TriggerTypes

_NAMES: Final = uuid.UUID("7c2b1f0e-3f0d-4b57-9a55-0c6b1f6d2e11")


class Rule(NamedTuple):
    """An automation, as far as its trigger is concerned.

    Attributes:
        id: of the automation.
        trigger: when it fires.
        since_ms: events from then on count, by the server's clock.
        mark: changes when the trigger is another one: counts of before are not its own.
    """

    id: str
    trigger: TriggerTypes
    since_ms: int
    mark: str


def rule_of(automation_id: str, trigger: TriggerTypes, since_ms: int = 0) -> Rule:
    """The rule of an automation."""
    mark = hashlib.blake2b(trigger.model_dump_json().encode(), digest_size=6).hexdigest()
    return Rule(automation_id, trigger, since_ms, mark)


class CountId(NamedTuple):
    """Which count of an automation: of a trigger, for the values of its ``for_each``."""

    rule_id: str
    mark: str
    path: Path = ()
    key: tuple[str, ...] = ()


Count = Bucket | tuple[ChildFiring, ...]
"""What is counted: events of an event trigger, firings of the triggers in another."""


class Firing(NamedTuple):
    """An automation fires.

    Attributes:
        rule_id: which one.
        id: the same, whoever finds it.
        at_ms: by the server's clock.
        event: the last that counted; ``None`` where none came.
        labels: of ``for_each``, with their values.
    """

    rule_id: str
    id: str
    at_ms: int
    event: SeenEvent | None
    labels: Mapping[str, str]


def counts_for(rule: Rule, events: Iterable[SeenEvent]) -> set[CountId]:
    """The counts that have to be known before these events are evaluated."""
    found: set[CountId] = set()
    places = list(leaves(rule.trigger))
    for event in events:
        for path, leaf in places:
            if covers(leaf, event):
                found.add(CountId(rule.id, rule.mark, path, key_of(leaf, event)))
                found.update(ancestors(CountId(rule.id, rule.mark, path)))
    return found


def ancestors(count: CountId) -> list[CountId]:
    """The counts of the triggers in which this one is."""
    return [count._replace(path=count.path[:length], key=()) for length in range(len(count.path))]


def idle_counts(rule: Rule) -> list[CountId]:
    """The counts of Proactive triggers that begin by themselves."""
    return [
        CountId(rule.id, rule.mark, path)
        for path, leaf in leaves(rule.trigger)
        if is_proactive(leaf) and not leaf.after and not leaf.for_each
    ]


class Evaluation:
    """Goes on from the counts as they were read.

    Args:
        counts: what was counted so far; what is not there has not begun.

    Attributes:
        changed: the counts that are others now; ``None``: to be forgotten.
        firings: in their order.
    """

    def __init__(self, counts: Mapping[CountId, Count]) -> None:
        self._before = counts
        self.changed: dict[CountId, Count | None] = {}
        self.firings: list[Firing] = []

    def count(self, count: CountId) -> Count | None:
        """As it is now."""
        return self.changed[count] if count in self.changed else self._before.get(count)

    def begin(self, rule: Rule) -> None:
        """Have the counts that begin by themselves."""
        for one in idle_counts(rule):
            leaf = trigger_at(rule.trigger, one.path)
            if self.count(one) is None and isinstance(leaf, EventTrigger):
                self.changed[one] = first_bucket(leaf, rule.since_ms)

    def see(self, rule: Rule, event: SeenEvent) -> None:
        """An event has come."""
        if event.at_ms < rule.since_ms:
            return
        for path, leaf in leaves(rule.trigger):
            if not covers(leaf, event):
                continue
            one = CountId(rule.id, rule.mark, path, key_of(leaf, event))
            self.pass_time(rule, one, event.at_ms)
            before = self._bucket(one)
            after, fired = count_event(leaf, before, event)
            self._note(one, before, after)
            if fired:
                self._fired(rule, one, leaf, event.at_ms, event)

    def pass_time(self, rule: Rule, one: CountId, now_ms: int) -> None:
        """It is now: the time of a count may be over."""
        leaf, before = trigger_at(rule.trigger, one.path), self._bucket(one)
        if not isinstance(leaf, EventTrigger) or before is None or not is_proactive(leaf):
            return
        after, fired = count_time(leaf, before, now_ms)
        self._note(one, before, after)
        if fired:
            self._fired(rule, one, leaf, before.end_ms, before.last)

    def deadline(self, rule: Rule, one: CountId) -> int | None:
        """When the time of a count is over and must be looked at."""
        leaf, bucket = trigger_at(rule.trigger, one.path), self._bucket(one)
        proactive = isinstance(leaf, EventTrigger) and is_proactive(leaf)
        return bucket.end_ms if proactive and bucket is not None else None

    def _bucket(self, one: CountId) -> Bucket | None:
        count = self.count(one)
        return count if isinstance(count, Bucket) else None

    def _note(self, one: CountId, before: Count | None, after: Count | None) -> None:
        if after != before:
            self.changed[one] = after

    def _fired(self, rule: Rule, one: CountId, leaf: EventTrigger, at_ms: int, event: SeenEvent | None) -> None:
        """Up to the automation, as far as the triggers on the way fire, too."""
        path = one.path
        while path:
            parent = one._replace(path=path[:-1], key=())
            trigger = trigger_at(rule.trigger, parent.path)
            if not isinstance(trigger, CompositeTrigger):
                return
            before = self.count(parent)
            firings = before if isinstance(before, tuple) and not isinstance(before, Bucket) else ()
            after, fired = count_child(trigger, firings, path[-1], at_ms)
            self._note(parent, firings, after)
            if not fired:
                return
            path = parent.path
        labels = dict(zip(sorted(leaf.for_each), one.key, strict=True)) if not one.path else {}
        self._add(Firing(rule.id, _firing_id(rule, one, at_ms, event), at_ms, event, labels))

    def _add(self, firing: Firing) -> None:
        if all(firing.id != other.id for other in self.firings):  # two triggers in one by the same event are one firing
            self.firings.append(firing)


def _firing_id(rule: Rule, one: CountId, at_ms: int, event: SeenEvent | None) -> str:
    """Made of the automation, the values by which it counts and the last event; or the moment if none came in time."""
    leaf = trigger_at(rule.trigger, one.path)
    by_time = isinstance(leaf, EventTrigger) and is_proactive(leaf)
    last = f"{one.path} {at_ms}" if by_time or event is None else event.id
    key = one.key if not one.path else ()
    return str(uuid.uuid5(_NAMES, f"{rule.id} {rule.mark} {key!r} {last}"))
