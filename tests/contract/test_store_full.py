"""A server without memory: nothing new is taken, nothing is half-written, and what runs can still end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokers.errors import StoreFull
from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until


@pytest.fixture
def calls(own_server: Callable[..., ServerProcess], namespace: str) -> Iterator[Calls]:
    address = parse_url(own_server().url)
    broker = RedisBroker(Wires(lambda: address), namespace, result_ttl_seconds=60)
    yield Calls(broker)
    broker.close()


def fill(calls: Calls) -> None:
    calls.command("CONFIG", "SET", "maxmemory", "1")


def empty(calls: Calls) -> None:
    calls.command("CONFIG", "SET", "maxmemory", "0")


def test_a_submit_is_refused_and_nothing_of_it_is_there(calls: Calls) -> None:
    fill(calls)
    envelopes = [
        calls.envelope(),
        calls.envelope(d=10),
        calls.envelope(i=("k", 1000)),
        calls.envelope(l="db|1", x=1000, p="me"),
    ]
    with pytest.raises(StoreFull, match="nothing was stored"):
        calls.broker.runs.submit(envelopes)
    assert calls.command("DBSIZE") == 0
    empty(calls)
    assert calls.broker.runs.submit(envelopes) == [envelope.run_id for envelope in envelopes]


def test_calls_that_run_can_end(calls: Calls) -> None:
    run_ids = calls.submit_many(5)
    dependant = calls.submit(after=(run_ids[0],), reply_to="me")
    calls.broker.inboxes.expect(run_ids, "me")
    fill(calls)
    one, two, three, four, five = calls.take()
    assert calls.end(one, outcome=bytes(20_000))
    assert calls.end(two, AckKind.FAILED)
    assert calls.end(three, AckKind.RETRY)
    assert calls.end(four, AckKind.HAND_BACK)
    assert calls.broker.deliveries.take_over("worker", running={five.run_id: "killed"}) == 1
    wait_until(lambda: calls.broker.runs.move_due() is None)
    assert sorted(calls.run_all()) == sorted([dependant, three.run_id, four.run_id, five.run_id])
    assert_nothing_left(calls.broker)


def test_calls_can_be_cancelled(calls: Calls) -> None:
    running, queued, delayed = calls.submit(), calls.submit(), calls.submit(d=60_000)
    dependant = calls.submit(after=(queued,))
    delivery = calls.take_one()
    fill(calls)
    before = calls.broker.runs.cancel([running, queued, delayed])
    assert before == [Status.QUEUED, Status.QUEUED, Status.DELAYED]
    assert [record.status for record in calls.broker.records.read([queued, delayed, dependant])] == [b"K", b"K", b"N"]
    assert calls.end(delivery, AckKind.CANCELLED)
    assert_nothing_left(calls.broker)


def test_workers_are_still_heard_of(calls: Calls) -> None:
    fill(calls)
    assert calls.broker.consumers.beat(["a"], 10) == []
    assert set(calls.broker.consumers.alive(10)) == {"a"}


def test_a_delayed_call_is_still_queued_when_it_is_due(calls: Calls) -> None:
    run_id = calls.submit(d=10)
    fill(calls)
    assert calls.wait_for_one().run_id == run_id
