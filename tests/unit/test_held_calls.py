"""What a consumer knows of its calls, and what it asks the store before it starts one."""

from __future__ import annotations

import logging

import pytest

from brokers.messages import Ack, AckKind, NotSettled
from orchestrator.errors import BrokerRefused, BrokerUnavailable
from orchestrator.slots.early_stops import MOST_KEPT
from orchestrator.slots.running import RunningCall
from tests.support.played_store import PlayedSlots, PlayedSource, delivery


def ack(run_id: str) -> Ack:
    return Ack(f"q:ds {run_id}", run_id, AckKind.COMPLETED, b"", 0)


def test_a_first_delivery_that_came_a_moment_ago_is_started_without_a_question() -> None:
    slots = PlayedSlots()
    slots.calls.fetched([delivery("a")])
    assert slots.calls.may_start(delivery("a"))
    assert slots.store.noted == []


def test_a_call_that_crashed_a_worker_is_noted_as_running_before_it_starts() -> None:
    slots = PlayedSlots()
    again = delivery("a", deliveries=2)
    slots.calls.fetched([again])
    assert slots.calls.may_start(again)
    assert slots.store.noted == ["a"]


def test_a_call_that_lay_here_for_long_is_started_only_if_it_is_still_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = PlayedSlots()
    slots.calls.fetched([delivery("a"), delivery("b")])
    for ticket in slots.calls._fetched_at:
        slots.calls._fetched_at[ticket] -= slots.settings.lease_seconds
    slots.store.stop = ["b"]  # taken over, and running elsewhere
    assert slots.calls.may_start(delivery("a"))
    assert not slots.calls.may_start(delivery("b"))
    assert slots.store.noted == ["a", "b"]
    slots.calls.flush_acks()
    assert slots.store.ends() == {"b": AckKind.HAND_BACK}, "whoever has it now does not lose it by that"


def test_a_call_that_was_asked_to_stop_before_it_came_is_started_only_if_the_store_says_so() -> None:
    slots = PlayedSlots()
    for run_id in ("stops", "replayed"):
        slots.calls.early_stops.add(run_id)
    slots.calls.fetched([delivery("stops"), delivery("replayed"), delivery("other")])
    slots.store.stop = ["stops"]
    assert [slots.calls.may_start(delivery(run_id)) for run_id in ("stops", "replayed", "other")] == [False, True, True]
    assert slots.store.noted == ["stops", "replayed"]
    slots.calls.flush_acks()
    assert slots.store.ends() == {"stops": AckKind.HAND_BACK}
    assert slots.calls.known_tickets() == {"q:ds replayed", "q:ds other"}


def test_what_was_asked_to_stop_and_never_came_is_forgotten_in_time() -> None:
    slots = PlayedSlots()
    for number in range(2 * MOST_KEPT):
        slots.calls.early_stops.add(str(number))
    slots.calls.fetched([delivery("0")])
    assert slots.calls.may_start(delivery("0"))
    assert slots.store.noted == []


def test_when_the_store_cannot_be_asked_the_call_is_handed_back() -> None:
    slots = PlayedSlots()
    slots.store.away = True
    assert not slots.calls.may_start(delivery("a", deliveries=2))
    slots.store.away = False
    slots.calls.flush_acks()
    assert slots.store.ends() == {"a": AckKind.HAND_BACK}


def test_a_late_reply_does_not_start_what_was_given_up_once() -> None:
    slots = PlayedSlots()
    lost = delivery("lost")
    slots.calls.give_up({lost.ticket: lost.run_id})
    assert [(given.how, given.behind) for given in slots.store.completed] == [(AckKind.HAND_BACK, AckKind.LOST)]
    slots.calls.fetched([lost])
    assert not slots.calls.may_start(lost)
    slots.calls.fetched([lost])  # it was queued again, and came to us
    assert slots.calls.may_start(lost)


def test_a_call_is_known_from_its_fetch_to_its_end_also_while_it_waits_to_begin() -> None:
    slots = PlayedSlots()
    waits = RunningCall(delivery("waits"), None, 0)  # type: ignore[arg-type]
    slots.calls.fetched([waits.delivery])
    assert slots.calls.may_start(waits.delivery)
    assert slots.calls.known_tickets() == {"q:ds waits"}
    assert slots.calls.begin(waits)
    assert slots.calls.known_tickets() == {"q:ds waits"}
    assert slots.calls.running == {"q:ds waits": waits}


def test_a_call_that_was_handed_back_while_it_waited_to_begin_does_not_begin() -> None:
    slots = PlayedSlots()
    waits = RunningCall(delivery("waits"), None, 0)  # type: ignore[arg-type]
    slots.calls.fetched([waits.delivery])
    assert slots.calls.may_start(waits.delivery)
    slots.calls.give_up({"q:ds waits": "waits"})
    assert not slots.calls.begin(waits)
    assert slots.calls.known_tickets() == set()


def test_known_are_calls_that_wait_run_or_have_ended_and_are_not_confirmed() -> None:
    slots = PlayedSlots()
    slots.calls.fetched([delivery("waits"), delivery("gone")])
    slots.run("runs")
    slots.calls.acks.add(ack("ended"))
    slots.calls.forget([delivery("gone")])
    assert slots.calls.known_tickets() == {"q:ds waits", "q:ds runs", "q:ds ended"}
    on_the_way = slots.calls.acks.take()
    assert "q:ds ended" in slots.calls.known_tickets()
    slots.calls.acks.sent(on_the_way, [])
    assert "q:ds ended" not in slots.calls.known_tickets()


def test_outcomes_travel_with_a_fetch_after_the_log_lines_of_their_runs() -> None:
    slots, source = PlayedSlots(), PlayedSource(delivery("next"))
    slots.calls.acks.add(ack("a"))
    slots.logs.waiting = True
    assert slots.calls.exchange(lambda acks: source.take(1, acks)) == [delivery("next")]
    assert slots.logs.flushed == ["a"]
    assert [sent.run_id for sent in source.acks] == ["a"]
    assert len(slots.calls.acks) == 0


@pytest.mark.parametrize("failing", ["logs", "fetch"])
def test_outcomes_are_kept_when_the_round_trip_fails(failing: str) -> None:
    slots, source = PlayedSlots(), PlayedSource()
    slots.calls.acks.add(ack("a"))
    slots.logs.waiting, slots.logs.away = True, failing == "logs"
    source.error = BrokerUnavailable("away") if failing == "fetch" else None
    with pytest.raises(BrokerUnavailable):
        slots.calls.exchange(lambda acks: source.take(1, acks))
    assert [kept.run_id for kept in slots.calls.acks.take()] == ["a"]


def test_calls_are_here_though_the_outcomes_that_went_along_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    slots, source = PlayedSlots(), PlayedSource()
    slots.calls.acks.add(ack("a"))
    source.error = NotSettled([delivery("next")], BrokerUnavailable("away"))
    assert slots.calls.exchange(lambda acks: source.take(1, acks)) == [delivery("next")]
    assert [kept.run_id for kept in slots.calls.acks.take()] == ["a"]
    assert "away; running calls go on, 1 outcomes are kept" in caplog.text


def test_who_must_fetch_does_so_without_outcomes_while_their_log_lines_cannot_be_stored() -> None:
    slots, source = PlayedSlots(), PlayedSource(delivery("next"))
    slots.calls.acks.add(ack("a"))
    slots.logs.waiting = slots.logs.away = True
    fetched = slots.calls.exchange(lambda acks: source.take(1, acks), without_acks_if_logs_fail=True)
    assert [some.run_id for some in fetched] == ["next"]
    assert source.acks == []
    assert len(slots.calls.acks) == 1


def test_an_absence_of_the_server_is_logged_once_and_again_when_it_refuses(caplog: pytest.LogCaptureFixture) -> None:
    slots = PlayedSlots()
    with caplog.at_level(logging.WARNING, "orchestrator.slots"):
        for error in (BrokerUnavailable("away"), BrokerUnavailable("away"), BrokerRefused("no"), BrokerRefused("no")):
            slots.calls.connection_lost(error)
        assert len(caplog.messages) == 2
        slots.calls.fetched([delivery("a")])  # it was there again
        slots.calls.connection_lost(BrokerUnavailable("away"))
        assert len(caplog.messages) == 3


def test_who_cannot_deregister_says_what_becomes_of_the_calls(caplog: pytest.LogCaptureFixture) -> None:
    slots = PlayedSlots()
    slots.calls.leave()
    assert slots.store.left == ["me"]
    slots.store.away = True
    with caplog.at_level(logging.WARNING, "orchestrator.slots"):
        slots.calls.leave()
    assert "taken over when its lease ends" in caplog.text


def test_a_route_is_added_once() -> None:
    slots = PlayedSlots()
    slots.calls.add_routes(["q:ds", "other:ds"])
    slots.calls.add_routes(["other:ds"])
    assert slots.calls.routes == ["q:ds", "other:ds"]
