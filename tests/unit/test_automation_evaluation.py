"""How events add up to firings: rules that hold for any events, however they are cut into portions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from orchestrator.automations.causes import Guard
from orchestrator.automations.counting import Bucket
from orchestrator.automations.evaluation import Count, CountId, Evaluation, Firing, Rule, counts_for, rule_of
from orchestrator.automations.seen_event import SeenEvent
from orchestrator.automations.stored_counts import name_of, pack_count, pack_guard, read_count, read_guard
from orchestrator.events.schemas.automations import CompoundTrigger, EventTrigger, SequenceTrigger

BEGIN = 1_000_000_000_000


def event(name: str, second: float, key: str = "k", number: int = 0) -> SeenEvent:
    at_ms = BEGIN + round(second * 1000)
    labels = {"prefect.resource.id": key}
    return SeenEvent(f"{name}-{at_ms}-{key}-{number}", name, labels, (), at_ms, "2026-01-01T00:00:00+00:00")


class Store:
    """Keeps counts as the real one does: packed, under their names."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.values: dict[str, bytes] = {}
        self.due: dict[str, int] = {}
        self.firings: list[Firing] = []

    def look(self, events: Sequence[SeenEvent], until: float | None = None) -> list[Firing]:
        known = (read_count(self.values[name]) for name in self.values)
        evaluation = Evaluation({one.id: one.value for one in known if one is not None})
        evaluation.begin(self.rule)
        for one in events:
            evaluation.see(self.rule, one)
        if until is not None:
            for name, due in list(self.due.items()):
                stored = read_count(self.values.get(name))
                if stored is not None and due <= BEGIN + until * 1000:
                    evaluation.pass_time(self.rule, stored.id, BEGIN + round(until * 1000))
        self._keep(evaluation)
        self.firings += evaluation.firings
        return evaluation.firings

    def _keep(self, evaluation: Evaluation) -> None:
        for one, count in evaluation.changed.items():
            self.values.pop(name_of(one), None)
            self.due.pop(name_of(one), None)
            if count is not None:
                self.values[name_of(one)] = pack_count(one, count)
            if (due := evaluation.deadline(self.rule, one)) is not None:
                self.due[name_of(one)] = due


def store(trigger: Any, since: float = 0) -> Store:
    return Store(rule_of("1", trigger, BEGIN + round(since * 1000)))


def fired(trigger: Any, *events: SeenEvent) -> list[float]:
    """The seconds at which it fires."""
    return [(firing.at_ms - BEGIN) / 1000 for firing in store(trigger).look(events)]


def test_threshold_within_fires_once_and_lets_the_rest_of_the_time_pass() -> None:
    trigger = EventTrigger(expect={"a"}, threshold=3, within=60)
    assert fired(trigger, *(event("a", second) for second in range(1, 6))) == [3]
    assert fired(trigger, *(event("a", second) for second in (1, 2, 70, 71, 72, 73))) == [72]
    assert fired(trigger, *(event("a", second) for second in (1, 2, 3, 30, 59, 61, 62, 63))) == [3, 63]


def test_events_of_before_it_was_made_do_not_count() -> None:
    assert store(EventTrigger(expect={"a"}), since=5).look([event("a", 4), event("a", 6)])[0].at_ms == BEGIN + 6000


def test_without_a_time_each_so_many_fire() -> None:
    events = [event("a", number / 100) for number in range(1000)]
    assert len(fired(EventTrigger(expect={"a"}, threshold=5), *events)) == 200
    assert len(fired(EventTrigger(expect={"a"}), *events)) == 1000


def test_events_count_apart_for_each_value() -> None:
    trigger = EventTrigger(expect={"a"}, threshold=2, for_each={"prefect.resource.id"})
    made = store(trigger).look([event("a", 1, "x"), event("a", 2, "y"), event("a", 3, "x")])
    assert [dict(firing.labels) for firing in made] == [{"prefect.resource.id": "x"}]


def test_an_event_counts_only_after_another() -> None:
    trigger = EventTrigger(after={"begin"}, expect={"end"}, within=10)
    assert fired(trigger, event("end", 1), event("begin", 2), event("end", 5), event("end", 6)) == [5]
    assert fired(trigger, event("begin", 1), event("end", 12)) == []
    assert fired(trigger, event("begin", 1), event("begin", 12), event("end", 13)) == [13]


def test_what_is_both_expected_and_first_counts_from_the_second_on() -> None:
    trigger = EventTrigger(after={"a"}, expect={"a"}, within=60)
    assert fired(trigger, event("a", 1)) == []
    assert fired(trigger, event("a", 1), event("a", 2)) == [2]


def test_what_does_not_come_in_time_fires_again_and_again() -> None:
    one = store(EventTrigger(expect={"beat"}, posture="Proactive", within=10))
    one.look([])
    assert one.look([], until=9.9) == []
    assert [firing.at_ms for firing in one.look([], until=10)] == [BEGIN + 10_000]
    assert one.look([event("beat", 12)], until=15) == []
    assert one.look([], until=20) == []
    assert len(one.look([], until=30)) == 1
    assert len(one.look([], until=500)) == 1  # nobody looked for long: that is made up for once


def test_what_does_not_follow_in_time_fires_once_for_each() -> None:
    trigger = EventTrigger(
        after={"begin"}, expect={"end"}, posture="Proactive", within=10, for_each={"prefect.resource.id"}
    )
    one = store(trigger)
    one.look([event("begin", 1, "x"), event("begin", 2, "y"), event("end", 3, "x")], until=5)
    made = one.look([], until=100)
    assert [(dict(firing.labels), firing.event and firing.event.event) for firing in made] == [
        ({"prefect.resource.id": "y"}, "begin")
    ]
    assert one.look([], until=1000) == []
    assert one.due == {}


def test_an_event_that_comes_too_late_is_not_in_time_though_nobody_looked_between() -> None:
    one = store(EventTrigger(after={"begin"}, expect={"end"}, posture="Proactive", within=10))
    assert len(one.look([event("begin", 1), event("end", 30)], until=31)) == 1


def test_compound_triggers_fire_when_enough_have() -> None:
    a, b, c = (EventTrigger(expect={name}) for name in "abc")
    every = CompoundTrigger(require="all", within=10, triggers=[a, b, c])
    assert fired(every, event("a", 1), event("b", 2), event("c", 3), event("a", 4)) == [3]
    assert fired(every, event("a", 1), event("b", 12), event("c", 13)) == []
    assert fired(CompoundTrigger(require=2, triggers=[a, b, c]), event("a", 1), event("a", 2), event("c", 9)) == [9]
    assert fired(CompoundTrigger(require="any", triggers=[a, b]), event("a", 1), event("c", 2), event("b", 3)) == [1, 3]


def test_sequences_fire_in_their_order() -> None:
    sequence = SequenceTrigger(within=60, triggers=[EventTrigger(expect={name}) for name in "ab"])
    assert fired(sequence, event("a", 1), event("b", 2)) == [2]
    assert fired(sequence, event("b", 1), event("a", 2)) == []
    assert fired(sequence, event("b", 1), event("a", 2), event("b", 3)) == [3]


def test_triggers_in_triggers_in_triggers() -> None:
    inner = SequenceTrigger(triggers=[EventTrigger(expect={"a"}, threshold=2), EventTrigger(expect={"b"})])
    outer = CompoundTrigger(require="all", triggers=[inner, EventTrigger(expect={"c"})])
    assert fired(outer, event("c", 1), event("a", 2), event("a", 3), event("b", 4)) == [4]


def test_one_event_that_two_triggers_wait_for_is_one_firing() -> None:
    both = CompoundTrigger(require="any", triggers=[EventTrigger(expect={"a"}), EventTrigger(expect={"a*"})])
    assert fired(both, event("a", 1)) == [1]


NAMES = some.sampled_from(["a", "b", "c", "d"])
LEAVES = some.builds(
    EventTrigger,
    expect=some.sets(NAMES, max_size=2),
    after=some.sets(NAMES, max_size=1),
    for_each=some.sampled_from([set(), {"prefect.resource.id"}]),
    posture=some.sampled_from(["Reactive", "Proactive"]),
    threshold=some.integers(1, 4),
    within=some.sampled_from([0, 10, 25]),
)
TRIGGERS = some.recursive(
    LEAVES,
    lambda inner: some.one_of(
        some.builds(
            CompoundTrigger,
            require=some.sampled_from(["any", "all", 1]),
            triggers=some.lists(inner, min_size=1, max_size=3),
            within=some.sampled_from([None, 0, 10]),
        ),
        some.builds(
            SequenceTrigger,
            triggers=some.lists(inner, min_size=1, max_size=3),
            within=some.sampled_from([None, 10]),
        ),
    ),
    max_leaves=4,
)
EVENTS = some.lists(some.tuples(NAMES, some.integers(0, 100), some.sampled_from(["x", "y"])), max_size=30)


def in_order(rows: list[tuple[str, int, str]]) -> list[SeenEvent]:
    rows = sorted(rows, key=lambda row: row[1])
    return [event(name, second, key, number) for number, (name, second, key) in enumerate(rows)]


@given(TRIGGERS, EVENTS, some.lists(some.integers(0, 30), max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_same_firings_however_events_are_cut_into_portions(
    trigger: Any, rows: list[tuple[str, int, str]], cuts: list[int]
) -> None:
    events = in_order(rows)
    at_once, in_parts = store(trigger), store(trigger)
    at_once.look(events)
    places = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for first, last in pairwise(places):
        in_parts.look(events[first:last])
    assert [firing.id for firing in in_parts.firings] == [firing.id for firing in at_once.firings]
    assert in_parts.values == at_once.values


@given(EVENTS, some.integers(1, 4), some.sampled_from([0, 5, 30]))
@settings(max_examples=50, deadline=None)
def test_a_reactive_trigger_has_enough_events_for_each_firing(
    rows: list[tuple[str, int, str]], threshold: int, within: int
) -> None:
    events = in_order(rows)
    trigger = EventTrigger(expect={"a"}, threshold=threshold, within=within)
    made = store(trigger).look(events)
    counted = [one for one in events if one.event == "a"]
    assert len(made) <= len(counted) // threshold
    if not within:
        assert len(made) == len(counted) // threshold
    ids = [firing.id for firing in made]
    assert len(set(ids)) == len(ids)
    for before, after in pairwise(made):
        assert after.at_ms > before.at_ms or not within


@given(TRIGGERS, EVENTS)
@settings(max_examples=50, deadline=None)
def test_every_count_that_changes_was_asked_for(trigger: Any, rows: list[tuple[str, int, str]]) -> None:
    rule, events = rule_of("1", trigger, BEGIN), in_order(rows)
    evaluation = Evaluation({})
    for one in events:
        evaluation.see(rule, one)
    assert set(evaluation.changed) <= counts_for(rule, events)


@given(some.binary(max_size=60))
def test_damaged_counts_are_none(damage: bytes) -> None:
    found = read_count(damage)
    assert found is None or isinstance(found.id, CountId)
    assert isinstance(read_guard(damage), Guard)


def test_counts_come_back_as_they_were() -> None:
    one = CountId("1", "m", (0, 2), ("x", ""))
    for count in (Bucket(1, 2, -1, event("a", 1)), Bucket(1, 2, 3), ()):
        stored = read_count(pack_count(one, count))
        assert stored is not None
        assert (stored.id, stored.value) == (one, count)
    assert read_guard(pack_guard(Guard(5, 6))) == Guard(5, 6)


@pytest.mark.parametrize("count", [Bucket(BEGIN, BEGIN + 1, 0), ()])
def test_counts_of_another_trigger_have_another_name(count: Count) -> None:
    rules = [rule_of("1", EventTrigger(expect={name})) for name in "ab"]
    assert name_of(CountId("1", rules[0].mark)) != name_of(CountId("1", rules[1].mark))
