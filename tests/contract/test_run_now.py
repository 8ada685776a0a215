"""A run that waits for a moment is queued at once when somebody asks for it."""

from __future__ import annotations

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls, assert_nothing_left


def test_a_countdown_is_cut_short_and_the_call_runs_once(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(d=60_000)
    assert calls.take() == []
    assert broker.runs.run_now([run_id, run_id]) == [run_id]
    assert calls.run_all() == [run_id]
    broker.runs.move_due(100)
    assert calls.take() == []
    assert_nothing_left(broker)


def test_the_next_attempt_of_a_failed_call_is_made_at_once(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    calls.end(calls.take_one(), AckKind.RETRY, delay_ms=60_000)
    assert broker.runs.run_now([run_id]) == [run_id]
    (record,) = broker.records.read([run_id])
    assert (record.status, record.retries, record.due_at) == (Status.QUEUED, 1, None)
    assert calls.run_all() == [run_id]
    assert_nothing_left(broker)


def test_what_does_not_wait_for_a_moment_is_left_alone(calls: Calls, broker: RedisBroker) -> None:
    ended, running = calls.submit(), calls.submit()
    calls.end(calls.take_one())
    delivery = calls.take_one()
    queued, cancelled = calls.submit(), calls.submit(d=60_000)
    broker.runs.cancel([cancelled])
    assert broker.runs.run_now([ended, running, queued, cancelled, "nothing"]) == []
    calls.end(delivery)
    assert calls.run_all() == [queued]
    assert_nothing_left(broker)
