"""Endings: a run ends once, only by whoever holds its ticket, and what follows is written with it."""

from __future__ import annotations

import pytest

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.waiting import wait_until

FINAL = {
    AckKind.COMPLETED: Status.COMPLETED,
    AckKind.FAILED: Status.FAILED,
    AckKind.CANCELLED: Status.CANCELLED,
    AckKind.CRASHED: Status.CRASHED,
    AckKind.DEAD: Status.CRASHED,
}


@pytest.mark.parametrize("how", FINAL)
def test_a_run_ends_so(calls: Calls, broker: RedisBroker, how: str) -> None:
    run_id = calls.submit()
    assert calls.end(calls.take_one(), how, b"why")
    record = calls.record(run_id)
    assert (record.status, record.outcome) == (FINAL[how], b"why")
    assert broker.dead_letters.newest() == ([run_id] if how == AckKind.DEAD else [])
    assert_nothing_left(broker)


@pytest.mark.parametrize("first", FINAL)
@pytest.mark.parametrize("second", [*FINAL, AckKind.RETRY, AckKind.HAND_BACK])
def test_a_run_ends_once(calls: Calls, broker: RedisBroker, first: str, second: str) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    assert calls.end(delivery, first, b"first")
    assert broker.deliveries.complete("worker", [calls.ack(delivery, second, b"second")]) == [run_id]
    assert calls.record(run_id).outcome == b"first"
    assert calls.take() == []
    assert_nothing_left(broker)


def test_the_same_ending_twice_in_one_batch_counts_once(calls: Calls, broker: RedisBroker) -> None:
    calls.submit()
    ack = calls.ack(calls.take_one())
    assert broker.deliveries.complete("worker", [ack, ack]) == []  # it is stored: nothing was refused
    counts = calls.command("HGET", broker.keys.counts, "C:app.task")
    assert counts == b"1"


def test_an_old_ticket_does_not_count_when_the_call_was_given_to_another(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    old = calls.take_one("slow")
    assert broker.deliveries.take_over("slow") == 1
    new = calls.take_one("other")
    assert (new.run_id, new.ticket != old.ticket) == (run_id, True)
    assert not calls.end(old, outcome=b"old")
    assert calls.status(run_id) == Status.QUEUED
    assert calls.end(new, outcome=b"new")
    assert calls.record(run_id).outcome == b"new"
    assert_nothing_left(broker)


def test_an_ending_of_a_run_that_vanished_is_refused(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    calls.command("DEL", broker.keys.record(run_id))
    assert not calls.end(delivery)
    assert calls.status(run_id) == Status.UNKNOWN
    assert_nothing_left(broker)


def test_a_batch_is_settled_call_by_call(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(4)
    one, two, three, four = calls.take()
    calls.end(two)
    refused = broker.deliveries.complete(
        "worker",
        [
            calls.ack(one),
            calls.ack(two, AckKind.FAILED, b"late"),
            calls.ack(three, AckKind.FAILED, b"broken"),
            calls.ack(four, AckKind.HAND_BACK),
        ],
    )
    assert refused == [two.run_id]
    statuses = [record.status for record in broker.records.read([one.run_id, two.run_id, three.run_id, four.run_id])]
    assert statuses == [Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.QUEUED]


def test_endings_travel_with_the_next_fetch(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_many(2)
    first = calls.take_one()
    acks = [calls.ack(first), calls.ack(first, outcome=b"late")]
    deliveries, refused = broker.deliveries.fetch("worker", ["q:ds"], 5, acks)
    assert [delivery.run_id for delivery in deliveries] == run_ids[1:]
    assert refused == run_ids[:1]
    assert calls.status(run_ids[0]) == Status.COMPLETED


def test_a_result_is_kept_as_long_as_it_should(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    assert calls.command("PTTL", broker.keys.record(run_id)) == -1
    calls.end(calls.take_one(), ttl_ms=40)
    assert 0 < calls.command("PTTL", broker.keys.record(run_id)) <= 40
    wait_until(lambda: calls.status(run_id) == Status.UNKNOWN)


def test_a_retry_comes_after_its_delay_and_is_counted(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    assert calls.end(calls.take_one(), AckKind.RETRY, b"first failure", delay_ms=60)
    record = calls.record(run_id)
    assert (record.status, record.retries) == (Status.DELAYED, 1)
    assert calls.take() == []
    again = calls.wait_for_one()
    assert (again.run_id, again.retries, again.crashes, again.body) == (run_id, 1, 0, b"body")
    assert calls.end(again, AckKind.RETRY)
    assert calls.end(third := calls.wait_for_one())
    assert third.retries == 2
    assert calls.status(run_id) == Status.COMPLETED
    assert_nothing_left(broker)


def test_a_call_that_was_handed_back_is_as_new(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    assert calls.end(calls.take_one("busy"), AckKind.HAND_BACK)
    again = calls.take_one("idle")
    assert (again.run_id, again.retries, again.crashes, again.deliveries) == (run_id, 0, 0, 1)
    assert calls.end(again)
    assert_nothing_left(broker)


def test_large_arguments_are_dropped_when_nobody_wants_them_again(calls: Calls, broker: RedisBroker) -> None:
    kept, dropped = calls.submit_many(2)
    one, two = calls.take()
    calls.end(one)
    calls.end(two, drop_body=1)
    assert broker.runs.replay([kept, dropped]) == [kept]


def test_a_replayed_run_begins_anew_under_its_id(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    calls.end(calls.take_one(), AckKind.RETRY)
    calls.end(calls.wait_for_one(), AckKind.DEAD)
    assert broker.dead_letters.newest() == [run_id]
    assert broker.runs.replay([run_id, "unknown"]) == [run_id]
    assert broker.runs.replay([run_id]) == []  # it is open now
    assert (broker.dead_letters.newest(), calls.status(run_id)) == ([], Status.QUEUED)
    assert calls.command("PTTL", broker.keys.record(run_id)) == -1
    delivery = calls.take_one()
    assert (delivery.retries, delivery.crashes, delivery.deliveries) == (0, 0, 1)
    assert calls.end(delivery)
    assert calls.record(run_id).outcome == b"result"
    assert_nothing_left(broker)


def test_a_replayed_run_is_not_ended_by_its_old_expiry(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(x=100)
    calls.end(calls.take_one(), AckKind.FAILED)
    assert broker.runs.replay([run_id]) == [run_id]
    assert calls.command("ZSCORE", broker.keys.prefix + "expiring", run_id) is None
    broker.runs.move_due()
    assert calls.status(run_id) == Status.QUEUED


def test_the_ends_are_counted_by_task_and_status(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    calls.submit_many(3, after=(upstream,))
    calls.run_all(AckKind.FAILED)
    queued = calls.submit()
    broker.runs.cancel([queued])
    assert dict(_pairs(calls.command("HGETALL", broker.keys.counts))) == {
        b"F:app.task": b"1",
        b"N:app.task": b"3",
        b"K:app.task": b"1",
    }


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def test_scripts_are_taught_again_to_a_server_that_forgot_them(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    calls.command("SCRIPT", "FLUSH")
    deliveries, refused = broker.deliveries.fetch("worker", ["q:ds"], 5, [calls.ack(delivery)])
    assert (deliveries, refused, calls.status(run_id)) == ([], [], Status.COMPLETED)
    calls.command("SCRIPT", "FLUSH")
    second = calls.submit()
    calls.command("SCRIPT", "FLUSH")
    assert calls.run_all() == [second]
    assert_nothing_left(broker)


def test_noted_as_running(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    running, cancelled, stale = calls.take()
    broker.runs.cancel([cancelled.run_id])
    calls.end(stale)
    pairs = [(delivery.ticket, delivery.run_id) for delivery in (running, cancelled, stale)]
    assert broker.deliveries.started(pairs) == [cancelled.run_id, stale.run_id]
    record = calls.record(running.run_id)
    assert record.status == Status.RUNNING
    assert record.started_at is not None


def test_large_outcomes_are_read_in_portions(calls: Calls, broker: RedisBroker) -> None:
    runs = calls.submit_many(4)
    large = b"x" * 5_000_000
    for delivery in calls.take():
        broker.deliveries.complete("worker", [calls.ack(delivery, outcome=large)])
    assert [(record.run_id, len(record.outcome or b"")) for record in broker.records.read(runs)] == [
        (run, len(large)) for run in runs
    ]
    assert len(broker.store.run("read", runs)) < 4


@pytest.mark.parametrize("damage", [("HSET", "x", "soon"), ("HSET", "g", "q|many|1"), ("HSET", "a", "once")])
def test_a_damaged_record_is_a_dead_letter_and_its_neighbours_are_handed_out(
    calls: Calls, broker: RedisBroker, damage: tuple[str, str, str]
) -> None:
    before, damaged, after = calls.submit(), calls.submit(), calls.submit()
    command, field, value = damage
    broker.wires.commands([(command, broker.keys.record(damaged), field, value)])
    assert [delivery.run_id for delivery in calls.take()] == [before, after]
    assert broker.dead_letters.newest() == [damaged]
    assert broker.records.read([damaged])[0].status == Status.CRASHED


def test_a_record_that_is_none_harms_no_neighbour(calls: Calls, broker: RedisBroker) -> None:
    odd, after = calls.submit(), calls.submit()
    broker.wires.commands([("DEL", broker.keys.record(odd)), ("SET", broker.keys.record(odd), "a text")])
    assert [delivery.run_id for delivery in calls.take()] == [after]
    assert calls.take() == []
