"""Named limits: how many at once, and how many in a time. Nobody who waits under a limit is forgotten."""

from __future__ import annotations

import pytest

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.waiting import wait_until


def limited(calls: Calls, count: int, size: int = 1) -> list[str]:
    return calls.submit_many(count, l=f"db|{size}")


def test_only_so_many_run_at_once(calls: Calls, broker: RedisBroker) -> None:
    run_ids = limited(calls, 5, size=2)
    running = calls.take()
    assert [delivery.run_id for delivery in running] == run_ids[:2]
    assert [record.status for record in broker.records.read(run_ids[2:])] == [Status.LIMITED] * 3
    calls.end(running[0])
    (third,) = calls.take()
    assert third.run_id == run_ids[2]
    assert calls.take() == []
    for delivery in (running[1], third):
        calls.end(delivery)
    assert calls.run_all() == run_ids[3:]
    assert_nothing_left(broker)


@pytest.mark.parametrize("how", [AckKind.FAILED, AckKind.RETRY, AckKind.DEAD, AckKind.CRASHED, AckKind.CANCELLED])
def test_a_place_is_given_back_however_the_call_ends(calls: Calls, broker: RedisBroker, how: str) -> None:
    _, second = limited(calls, 2)
    calls.end(calls.take_one(), how, delay_ms=60_000 if how == AckKind.RETRY else 0)
    assert calls.take_one().run_id == second


def test_a_call_that_comes_back_keeps_no_place(calls: Calls, broker: RedisBroker) -> None:
    first, second = limited(calls, 2)
    (delivery,) = calls.take()
    calls.end(delivery, AckKind.HAND_BACK)
    order = [calls.run_all(), calls.run_all()]
    assert sorted(order[0] + order[1]) == sorted([first, second])
    assert_nothing_left(broker)


def test_a_dead_workers_places_are_free_again(calls: Calls, broker: RedisBroker) -> None:
    run_ids = limited(calls, 3)
    calls.take(consumer="dead")
    broker.deliveries.take_over("dead", running={run_ids[0]: "killed"})
    assert sorted(calls.run_all()) == sorted(run_ids)
    assert_nothing_left(broker)


def test_a_call_that_waits_for_a_place_can_be_cancelled(calls: Calls, broker: RedisBroker) -> None:
    _, second, third = limited(calls, 3)
    (delivery,) = calls.take()
    assert broker.runs.cancel([second]) == [Status.LIMITED]
    calls.end(delivery)
    assert calls.run_all() == [third]
    assert calls.status(second) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_cancelled_last_waiter_leaves_nothing_behind(calls: Calls, broker: RedisBroker) -> None:
    first, second = limited(calls, 2)
    (delivery,) = calls.take()
    calls.end(delivery, AckKind.RETRY, delay_ms=60_000)
    calls.take_one("other")
    broker.runs.cancel([first, second])
    broker.deliveries.take_over("other")
    assert_nothing_left(broker)


def test_one_that_was_called_up_and_cancelled_does_not_block_the_next(calls: Calls, broker: RedisBroker) -> None:
    _, second, third = limited(calls, 3)
    (delivery,) = calls.take()
    calls.end(delivery)
    assert calls.status(second) == Status.QUEUED  # called up, not taken yet
    broker.runs.cancel([second])
    assert calls.run_all() == [third]
    assert_nothing_left(broker)


def test_one_that_was_called_up_and_expired_does_not_block_the_next(calls: Calls, broker: RedisBroker) -> None:
    calls.submit(l="db|1")
    second, third = calls.submit(l="db|1", x=50), calls.submit(l="db|1")
    (delivery,) = calls.take()
    calls.end(delivery)
    assert calls.status(second) == Status.QUEUED
    calls.move_until(lambda: calls.status(second) == Status.CANCELLED)
    assert calls.run_all() == [third]
    assert_nothing_left(broker)


def test_one_that_expires_while_it_waits_for_a_place_is_forgotten(calls: Calls, broker: RedisBroker) -> None:
    calls.submit(l="db|1")
    second = calls.submit(l="db|1", x=50)
    (delivery,) = calls.take()
    assert calls.status(second) == Status.LIMITED
    calls.move_until(lambda: calls.status(second) == Status.CANCELLED)
    calls.end(delivery)
    assert_nothing_left(broker)


def test_limits_of_other_names_do_not_matter(calls: Calls) -> None:
    calls.submit(l="db|1")
    calls.submit(l="mail|1")
    calls.submit()
    assert len(calls.take()) == 3


def test_a_dependant_under_a_limit(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit(l="db|1")
    dependant = calls.submit(l="db|1", after=(upstream,))
    assert calls.run_all() == [upstream, dependant]
    assert_nothing_left(broker)


def test_only_so_many_start_in_a_time(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_many(4, g="mail|60000|0")
    first = calls.take()
    assert [delivery.run_id for delivery in first] == run_ids[:1]
    assert [record.status for record in broker.records.read(run_ids[1:])] == [Status.DELAYED] * 3
    dues = [float(calls.command("ZSCORE", broker.keys.delayed, run_id)) for run_id in run_ids[1:]]
    assert [round((due - dues[0]) / 60_000) for due in dues] == [0, 1, 2]
    assert broker.runs.cancel(run_ids[1:]) == [Status.DELAYED] * 3
    calls.end(first[0])
    assert_nothing_left(broker)


def test_a_rate_lets_everyone_through_in_time(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_many(5, g="mail|20|0")
    started: list[str] = []
    wait_until(lambda: started.extend(calls.run_all()) or len(started) == 5, message="five calls at 50/s")
    assert started == run_ids
    assert_nothing_left(broker)


def test_a_burst_may_start_at_once(calls: Calls) -> None:
    calls.submit_many(5, g="mail|60000|120000")
    assert len(calls.take()) == 3


# -- rates count attempts ----------------------------------------------------------------------------------------------


def test_every_attempt_takes_from_the_rate(calls: Calls, broker: RedisBroker) -> None:
    (run_id,) = calls.submit_many(1, g="mail|60000|0")
    calls.end(calls.take_one(), AckKind.RETRY)
    broker.runs.move_due()
    assert calls.take() == []
    assert calls.status(run_id) == Status.DELAYED
    due = float(calls.command("ZSCORE", broker.keys.delayed, run_id))
    (other,) = calls.submit_many(1, g="mail|60000|0")
    assert calls.take() == []
    assert round((float(calls.command("ZSCORE", broker.keys.delayed, other)) - due) / 60_000) == 1
    assert broker.runs.cancel([run_id, other]) == [Status.DELAYED] * 2
    assert_nothing_left(broker)


def test_a_call_that_has_not_started_keeps_its_turn_under_a_rate(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(g="mail|60000|0")
    calls.end(calls.take_one(), AckKind.HAND_BACK)
    assert calls.take_one("leaves").run_id == run_id
    broker.deliveries.take_over("leaves", charge_running=False)
    calls.end(calls.take_one(), AckKind.FAILED)
    assert_nothing_left(broker)


def test_a_call_that_waits_for_a_place_keeps_its_turn_under_a_rate(calls: Calls, broker: RedisBroker) -> None:
    calls.submit(l="db|1")
    both = calls.submit(l="db|1", g="mail|60000|0")
    (first,) = calls.take()
    assert calls.status(both) == Status.LIMITED
    calls.end(first)
    assert calls.run_all() == [both]
    assert_nothing_left(broker)


def test_an_attempt_that_crashed_its_worker_took_from_the_rate(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(g="mail|60000|0")
    calls.take_one("victim")
    broker.deliveries.take_over("victim", running={run_id: "killed"})
    assert calls.take() == []
    assert calls.status(run_id) == Status.DELAYED
