"""Cancelling: at once where nothing runs, by an order to its worker where something does."""

from __future__ import annotations

import pytest

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason
from orchestrator.runs.run_ids import new_run_id
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.letters import Letters


def test_a_queued_call_is_cancelled_at_once(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    dependant = calls.submit(after=(run_id,))
    assert broker.runs.cancel([run_id], "not needed") == [Status.QUEUED]
    assert (calls.status(run_id), calls.text(run_id)) == (Status.CANCELLED, "not needed")
    assert calls.reason(run_id) == Reason.CANCELLED
    assert calls.status(dependant) == Status.NOT_READY
    assert calls.take() == []
    assert_nothing_left(broker)


def test_a_queued_call_is_cancelled_though_others_of_its_queue_run(calls: Calls, broker: RedisBroker) -> None:
    calls.submit()
    running = calls.take_one()
    run_id = calls.submit()
    broker.runs.cancel([run_id])
    assert calls.status(run_id) == Status.CANCELLED
    assert calls.end(running)
    assert_nothing_left(broker)


def test_a_delayed_call_is_cancelled_at_once(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(d=60_000)
    assert broker.runs.cancel([run_id]) == [Status.DELAYED]
    assert calls.status(run_id) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_waiting_retry_is_cancelled_at_once(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    calls.end(calls.take_one(), AckKind.RETRY, delay_ms=60_000)
    assert broker.runs.cancel([run_id]) == [Status.DELAYED]
    assert calls.status(run_id) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_parked_call_is_cancelled_at_once_and_not_released_later(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    run_id = calls.submit(after=(upstream,))
    assert broker.runs.cancel([run_id]) == [Status.PARKED]
    assert calls.run_all() == [upstream]
    assert calls.status(run_id) == Status.CANCELLED
    assert_nothing_left(broker)


def test_a_running_call_is_asked_to_stop(calls: Calls, broker: RedisBroker) -> None:
    with Letters(broker, "host.1") as child, Letters(broker, "host") as supervisor:
        run_id = calls.submit()
        delivery = calls.take_one("host.1")
        broker.deliveries.started([(delivery.ticket, run_id)])
        assert broker.runs.cancel([run_id]) == [Status.RUNNING]
        assert calls.status(run_id) == Status.CANCELLING
        assert child.next_order() == ("cancel", run_id)
        assert supervisor.next_order() == ("cancel", run_id)
    assert broker.deliveries.started([(delivery.ticket, run_id)]) == [run_id]
    assert calls.end(delivery, AckKind.CANCELLED)
    assert calls.status(run_id) == Status.CANCELLED


def test_a_call_that_ends_before_it_could_stop_keeps_its_end(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    broker.runs.cancel([run_id])
    assert calls.end(delivery)
    assert calls.status(run_id) == Status.COMPLETED
    assert_nothing_left(broker)


@pytest.mark.parametrize("how", [AckKind.RETRY, AckKind.HAND_BACK, AckKind.BEHIND])
def test_a_cancelled_call_does_not_come_back(calls: Calls, broker: RedisBroker, how: str) -> None:
    other, run_id = calls.submit_many(2)
    first, delivery = calls.take()
    broker.runs.cancel([run_id])
    assert calls.end(delivery, how, behind=other if how == AckKind.BEHIND else "")
    assert calls.status(run_id) == Status.CANCELLED
    calls.end(first)
    assert calls.take() == []
    assert_nothing_left(broker)


@pytest.mark.parametrize("how", [AckKind.COMPLETED, AckKind.FAILED, AckKind.CANCELLED, AckKind.CRASHED])
def test_an_ended_call_cannot_be_cancelled(calls: Calls, broker: RedisBroker, how: str) -> None:
    run_id = calls.submit()
    calls.end(calls.take_one(), how)
    before = calls.record(run_id)
    assert broker.runs.cancel([run_id]) == [before.status]
    assert calls.record(run_id) == before


def test_an_unknown_call_cannot_be_cancelled(calls: Calls, broker: RedisBroker) -> None:
    known = calls.submit()
    assert broker.runs.cancel([new_run_id(), known]) == [Status.UNKNOWN, Status.QUEUED]


def test_cancelling_twice_is_fine(calls: Calls, broker: RedisBroker) -> None:
    queued = calls.submit()
    delivery = calls.take_one()
    assert broker.runs.cancel([queued, queued]) == [Status.QUEUED, Status.CANCELLING]
    assert calls.end(delivery, AckKind.CANCELLED)
    assert broker.runs.cancel([queued]) == [Status.CANCELLED]


def test_many_are_cancelled_in_slices(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_many(1200)
    assert broker.runs.cancel(run_ids) == [Status.QUEUED] * 1200
    assert calls.take() == []
    assert_nothing_left(broker)


def test_a_cancelled_call_can_be_replayed(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(d=60_000)
    broker.runs.cancel([run_id])
    assert broker.runs.replay([run_id]) == [run_id]
    assert calls.run_all() == [run_id]
    assert_nothing_left(broker)
