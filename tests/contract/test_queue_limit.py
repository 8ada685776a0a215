"""A queue that may hold only so many calls."""

from __future__ import annotations

import pytest

from brokers.errors import QueueFull
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from tests.support.carriage import Calls, assert_nothing_left


@pytest.fixture
def calls(wires: Wires, namespace: str) -> Calls:
    return Calls(RedisBroker(wires, namespace, result_ttl_seconds=60, queue_limit=3))


def test_a_full_queue_refuses_more_and_takes_them_when_there_is_room(calls: Calls) -> None:
    broker = calls.broker
    broker.runs.submit([calls.envelope(), calls.envelope()])
    with pytest.raises(QueueFull, match="holds 2 calls and may hold 3; nothing was sent"):
        broker.runs.submit([calls.envelope(), calls.envelope()])
    broker.runs.submit([calls.envelope()])
    running = calls.take(1)
    with pytest.raises(QueueFull):  # a running call counts
        broker.runs.submit([calls.envelope()])
    assert all(map(calls.end, running))
    broker.runs.submit([calls.envelope()])
    assert all(map(calls.end, calls.take()))
    assert_nothing_left(broker)


def test_other_queues_do_not_count(calls: Calls) -> None:
    calls.broker.runs.submit([calls.envelope() for _ in range(3)])
    other = calls.envelope()._replace(route="another:ds")
    assert calls.broker.runs.submit([other]) == [other.run_id]
