"""What the slot monitor decides in one round, by a clock that is given to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokers.messages import Ack, AckKind
from orchestrator.errors import BrokerUnavailable
from orchestrator.slots import ack_buffer
from orchestrator.slots.lane_host import WatchedLane
from orchestrator.slots.prefetched import HAND_BACK_AFTER_SECONDS, Prefetched
from orchestrator.slots.slot_monitor import IDLE_TICKS, NOTE_AFTER_SECONDS, TICK_SECONDS, SlotMonitor
from orchestrator.slots.thread_lane import hand_back_ready
from tests.support.played_store import PlayedSlots, delivery

NEVER = 1e9


class PlayedLane:
    def __init__(self, slots: PlayedSlots, sends_acks: bool = True) -> None:
        self.sends_acks, self._slots = sends_acks, slots
        self.ready = Prefetched()
        self.looks = 0

    def look(self, now: float) -> bool:
        self.looks += 1
        return self.ready.is_stuck(now) and hand_back_ready(self.ready, self._slots.calls)


def monitor_of(slots: PlayedSlots, *lanes: WatchedLane, check_seconds: float = NEVER) -> SlotMonitor:
    def present() -> Sequence[WatchedLane]:
        return lanes

    return SlotMonitor(slots.calls, slots.calls.attention, present, check_seconds)


def end(slots: PlayedSlots, run_id: str) -> None:
    slots.calls.acks.add(Ack(f"q:ds {run_id}", run_id, AckKind.COMPLETED, b"", 0))


@pytest.mark.parametrize(("hold_seconds", "sends_acks", "sent"), [(NEVER, True, 0), (-1.0, True, 1), (NEVER, False, 1)])
def test_it_sends_outcomes_that_wait_too_long_and_those_of_lanes_that_send_none(
    monkeypatch: pytest.MonkeyPatch, hold_seconds: float, sends_acks: bool, sent: int
) -> None:
    monkeypatch.setattr(ack_buffer, "HOLD_SECONDS", hold_seconds)
    slots = PlayedSlots()
    end(slots, "a")
    monitor_of(slots, PlayedLane(slots, sends_acks)).look_once(0.0)
    assert len(slots.store.completed) == sent


def test_it_notes_calls_that_run_longer_than_a_blink_once() -> None:
    slots = PlayedSlots()
    short, long = slots.run("short"), slots.run("long")
    long.started, short.started = 100.0, 100.0 + NOTE_AFTER_SECONDS
    monitor = monitor_of(slots)
    for _ in range(2):
        monitor.look_once(100.0 + NOTE_AFTER_SECONDS * 1.5)
    assert slots.store.noted == ["long"]


def test_of_a_run_that_is_here_twice_only_the_older_one_is_stopped() -> None:
    slots = PlayedSlots()
    stale, fresh = slots.run("a"), slots.run("b")
    fresh.delivery = fresh.delivery._replace(run_id="a")  # another ticket of the same run
    stale.started, fresh.started = 1.0, 2.0
    slots.store.stop = ["a"]
    monitor_of(slots).look_once(100.0)
    assert stale.cancelled
    assert not fresh.cancelled


def test_it_hands_back_what_waits_behind_a_long_call_at_once_and_leaves_other_lanes_alone() -> None:
    slots = PlayedSlots()
    stuck, moving = PlayedLane(slots), PlayedLane(slots)
    stuck.ready.started(0.0)
    moving.ready.started(HAND_BACK_AFTER_SECONDS)
    stuck.ready.extend([delivery("a"), delivery("b")])
    moving.ready.extend([delivery("c")])
    slots.calls.fetched([delivery("a"), delivery("b"), delivery("c")])
    monitor_of(slots, stuck, moving).look_once(HAND_BACK_AFTER_SECONDS * 1.5)
    assert slots.store.ends() == {"a": AckKind.HAND_BACK, "b": AckKind.HAND_BACK}
    assert slots.calls.known_tickets() == {"q:ds c"}


def test_a_claim_that_nobody_knows_is_given_up_when_it_is_still_unknown_at_the_next_comparison() -> None:
    slots = PlayedSlots()
    slots.run("runs")
    slots.store.held = {"q:ds runs": "runs", "q:ds late": "late", "q:ds lost": "lost"}
    monitor = monitor_of(slots)
    monitor.reconcile()
    assert slots.store.completed == []  # both may be on their way
    slots.calls.fetched([delivery("late")])
    monitor.reconcile()
    assert slots.store.ends() == {"lost": AckKind.HAND_BACK}
    del slots.store.held["q:ds lost"]
    monitor.reconcile()
    assert len(slots.store.completed) == 1


def test_a_claim_that_was_unknown_is_not_suspected_for_ever() -> None:
    slots = PlayedSlots()
    monitor = monitor_of(slots)
    for held in ({"q:ds a": "a"}, {}, {"q:ds a": "a"}):  # confirmed between the first two, and claimed again
        slots.store.held = held
        monitor.reconcile()
    assert slots.store.completed == []


def test_it_compares_only_now_and_then_and_remembers_when_the_server_answered() -> None:
    slots = PlayedSlots()
    slots.store.held = {"q:ds lost": "lost"}
    monitor = monitor_of(slots, check_seconds=10.0)
    due = monitor._next_check
    before = slots.calls.answered_at
    for now in (due - 1, due, due + 1, due + 9):
        monitor.look_once(now)
    assert slots.store.completed == []
    assert slots.calls.answered_at > before
    monitor.look_once(due + 10)
    assert slots.store.ends() == {"lost": AckKind.HAND_BACK}


def test_while_the_server_is_away_nothing_is_forgotten() -> None:
    slots = PlayedSlots()
    slots.run("long").started = 0.0
    slots.store.away = True
    monitor = monitor_of(slots)
    with pytest.raises(BrokerUnavailable):
        monitor.look_once(100.0)
    slots.store.away = False
    monitor.look_once(100.0)
    assert slots.store.noted == ["long"]


def test_calls_that_come_wake_the_monitor_only_when_it_sleeps() -> None:
    slots = PlayedSlots()
    monitor = monitor_of(slots)
    while monitor._seconds_to_sleep() == TICK_SECONDS:  # it looks for a while after the last call
        slots.calls.fetched([delivery("a")])
        assert not slots.calls.attention.is_wanted
        slots.calls.forget([delivery("a")])
    slots.calls.fetched([delivery("b")])
    assert slots.calls.attention.is_wanted


def test_a_call_that_comes_while_the_monitor_falls_asleep_is_looked_after() -> None:
    slots = PlayedSlots()
    monitor = monitor_of(slots)
    for _ in range(IDLE_TICKS):
        monitor._seconds_to_sleep()
    slots.calls.fetched([delivery("a")])
    assert not slots.calls.attention.is_wanted
    assert monitor._seconds_to_sleep() == TICK_SECONDS
