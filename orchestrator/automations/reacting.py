"""One step of a reactor: events and counts that were read become what is to be written. Writes nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from brokers.facets.reactions import CountWrite, FiringWrite
from brokers.messages import Envelope
from orchestrator.automations.causes import causes_of
from orchestrator.automations.evaluation import Count, CountId, Evaluation, Firing, Rule, counts_for, idle_counts
from orchestrator.automations.firing_calls import calls_of, pack_firing
from orchestrator.automations.matching import leaves, wants
from orchestrator.automations.record import AutomationRecord
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.automations.stored_counts import (
    ENDLESS_MS,
    guard_name,
    name_of,
    pack_count,
    pack_guard,
    read_count,
    read_guard,
    ttl_of,
)
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.automations")
MOST_FIRINGS: Final = 200  # in one script, which blocks the server: about 5 ms for so many
LeaveAlone = Callable[[str, str], None]
"""Called with an automation that cannot be looked at, and why."""


@dataclass(slots=True)
class Step:
    """What is to be written.

    Attributes:
        seen: how many of the events were looked at: the rest would make one script too long.
        counts, firings, calls: see :class:`brokers.facets.reactions.Move`.
        fired: the firings with what they do, for the log.
        held: automations that are set off by themselves too often, for the first time in this minute.
    """

    seen: int = 0
    counts: list[CountWrite] = field(default_factory=list)
    firings: list[FiringWrite] = field(default_factory=list)
    calls: list[Envelope] = field(default_factory=list)
    fired: list[tuple[AutomationRecord, Firing, int]] = field(default_factory=list)
    held: list[AutomationRecord] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the cursors has changed."""
        return not (self.counts or self.firings or self.calls)


class Reaction:
    """Evaluates events for some automations.

    Args:
        fleet: whose keys sign the calls.
        records: automations that are enabled and can be read.
        untouched: ids of enabled ones that cannot be read here: others may.
        leave_alone: what to do about one that fails.
    """

    def __init__(
        self, fleet: Fleet, records: Sequence[AutomationRecord], untouched: Collection[str], leave_alone: LeaveAlone
    ) -> None:
        self._fleet, self._untouched, self._leave_alone = fleet, untouched, leave_alone
        self._records = {record.id: record for record in records}
        rules = ((record.id, record.rule) for record in records)
        self._rules: dict[str, Rule] = {rule_id: rule for rule_id, rule in rules if rule is not None}
        self._wanting: dict[str, list[Rule]] = {}  # by the name of an event

    def step(
        self, events: Sequence[SeenEvent], due: Sequence[str], begin: Sequence[str], now_ms: int, *, until_now: bool
    ) -> Step:
        """What these events, and the time that has passed, come to.

        Args:
            events: the oldest first.
            due: names of counts whose time is over.
            begin: ids of automations whose Proactive triggers may have to begin.
            now_ms: by the server's clock, before the events were read.
            until_now: whether there were no more events until then: only then is it known which did not come.

        Raises:
            BrokerError: counts cannot be read.
        """
        needed = self._needed(events, begin)
        names = list(dict.fromkeys([*map(name_of, needed), *(due if until_now else ())]))
        packed = dict(zip(names, self._fleet.broker.reactions.counts(names), strict=True))
        known = {one.id: one.value for one in map(read_count, packed.values()) if one is not None}
        evaluations = {rule_id: Evaluation(known) for rule_id in self._rules}
        for rule_id in begin:
            self._apart(rule_id, evaluations, lambda rule, made: made.begin(rule))
        step = Step(seen=self._see(events, evaluations))
        if until_now and step.seen == len(events):
            self._pass_time(due, packed, evaluations, now_ms, step)
        self._collect(evaluations, now_ms, step)
        return step

    def _needed(self, events: Sequence[SeenEvent], begin: Sequence[str]) -> set[CountId]:
        found = {one for rule_id in begin if rule_id in self._rules for one in idle_counts(self._rules[rule_id])}
        for event in events:
            for rule in self._rules_for(event):
                found |= counts_for(rule, [event])
        return found

    def _rules_for(self, event: SeenEvent) -> list[Rule]:
        known = self._wanting.get(event.event)
        if known is None:
            known = [
                rule
                for rule in self._rules.values()
                if any(wants(leaf, event.event) for _, leaf in leaves(rule.trigger))
            ]
            self._wanting[event.event] = known
        return known

    def _apart(
        self, rule_id: str, evaluations: dict[str, Evaluation], do: Callable[[Rule, Evaluation], object]
    ) -> None:
        """Whatever is the matter with one automation, others are looked at."""
        rule, evaluation = self._rules.get(rule_id), evaluations.get(rule_id)
        if rule is None or evaluation is None:
            return
        try:
            do(rule, evaluation)
        except Exception as error:
            del evaluations[rule_id]
            self._leave_alone(rule_id, f"{type(error).__name__}: {error}")

    def _see(self, events: Sequence[SeenEvent], evaluations: dict[str, Evaluation]) -> int:
        for number, event in enumerate(events):
            for rule in self._rules_for(event):
                self._apart(rule.id, evaluations, partial(_see, event))
            if sum(len(one.firings) for one in evaluations.values()) >= MOST_FIRINGS:
                return number + 1
        return len(events)

    def _pass_time(
        self,
        due: Sequence[str],
        packed: Mapping[str, bytes | None],
        evaluations: dict[str, Evaluation],
        now_ms: int,
        step: Step,
    ) -> None:
        for name in due:
            stored = read_count(packed.get(name))
            rule = self._rules.get(stored.id.rule_id) if stored is not None else None
            if stored is None or rule is None or rule.mark != stored.id.mark:
                if name.partition(":")[0] not in self._untouched:
                    # of a trigger that is another one by now, or nobody's
                    step.counts.append(CountWrite(name, b""))
                continue
            self._apart(rule.id, evaluations, partial(_pass_time, stored.id, now_ms))

    # -- what is to be written -----------------------------------------------------------------------------------

    def _collect(self, evaluations: Mapping[str, Evaluation], now_ms: int, step: Step) -> None:
        for rule_id, evaluation in evaluations.items():
            rule = self._rules[rule_id]
            for one, count in evaluation.changed.items():
                step.counts.append(_write_of(rule, one, count, evaluation.deadline(rule, one), now_ms))
            if evaluation.firings:
                self._fire(self._records[rule_id], evaluation.firings, step)

    def _fire(self, record: AutomationRecord, firings: Sequence[Firing], step: Step) -> None:
        guard, before = None, None
        for firing in firings:
            causes, may = causes_of(self._fleet.broker, firing.event), True
            if record.id in causes:
                if guard is None:
                    (packed,) = self._fleet.broker.reactions.counts([guard_name(record.id)])
                    guard = before = read_guard(packed)
                may, guard = guard.admits(firing.at_ms)
                if guard.is_first_refusal:
                    step.held.append(record)
                if not may and not guard.is_first_refusal:
                    continue
            self._add(record, firing, causes if may else None, step)
        if guard is not None and guard != before:
            step.counts.append(CountWrite(guard_name(record.id), pack_guard(guard), 120_000))

    def _add(self, record: AutomationRecord, firing: Firing, causes: Sequence[str] | None, step: Step) -> None:
        """A firing with its calls; without causes it is held back, and only noted."""
        calls: list[Envelope] = []
        if causes is not None:
            try:
                calls = calls_of(self._fleet, record, firing, causes)
            except BrokerError:
                raise
            except Exception as error:
                self._leave_alone(record.id, f"the calls of its actions cannot be made: {error}")
        core = record.core
        types = [action.type for action in (*core.actions, *core.actions_on_trigger)] if core and calls else []
        event_id = firing.event.id if firing.event is not None else ""
        step.firings.append(
            FiringWrite(record.id, pack_firing(firing, calls, types, causes is None), record.name, event_id)
        )
        step.calls += calls
        if causes is not None:
            step.fired.append((record, firing, len(calls)))


def _see(event: SeenEvent, rule: Rule, evaluation: Evaluation) -> None:
    evaluation.see(rule, event)


def _pass_time(one: CountId, now_ms: int, rule: Rule, evaluation: Evaluation) -> None:
    evaluation.pass_time(rule, one, now_ms)


def _write_of(rule: Rule, one: CountId, count: Count | None, due_ms: int | None, now_ms: int) -> CountWrite:
    if count is None or (isinstance(count, tuple) and not count):
        return CountWrite(name_of(one), b"")
    return CountWrite(
        name_of(one), pack_count(one, count), min(ENDLESS_MS * 13, ttl_of(rule, one, count, now_ms)), due_ms or 0
    )
