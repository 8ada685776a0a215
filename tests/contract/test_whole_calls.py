"""A worker that waits for a plain call gets it whole with its queue entry; whatever is special is looked up first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.messages import Ack, AckKind, Status, routes_of
from brokers.redis.broker import RedisBroker
from tests.support.carriage import Calls


class Trips:
    """A reader that counts how often it asked the store for records."""

    def __init__(self, broker: RedisBroker, trust_seconds: float) -> None:
        self.reader = broker.deliveries.reader("worker", routes_of(["q"], "s"), 5.0, trust_seconds)
        self.reader.prepare()
        self.count = 0
        fetch = self.reader._fetch

        def counted(*arguments: object) -> object:
            self.count += 1
            return fetch(*arguments)  # type: ignore[arg-type]

        self.reader._fetch = counted  # type: ignore[assignment, method-assign]


@pytest.fixture
def trusting(broker: RedisBroker) -> Iterator[Trips]:
    trips = Trips(broker, trust_seconds=60.0)
    yield trips
    trips.reader.close()


def test_a_plain_call_comes_whole(trusting: Trips, broker: RedisBroker, calls: Calls) -> None:
    run = calls.submit(body=b"arguments")
    (delivery,) = trusting.reader.wait(10)
    assert trusting.count == 0
    assert (delivery.run_id, delivery.task, delivery.body, delivery.deliveries) == (run, "app.task", b"arguments", 1)
    assert broker.deliveries.complete("worker", [Ack(delivery.ticket, run, AckKind.COMPLETED, b"result", 60_000)]) == []
    assert calls.status(run) == Status.COMPLETED


def test_it_is_what_the_store_would_have_said(trusting: Trips, broker: RedisBroker, calls: Calls) -> None:
    calls.submit()
    (whole,) = trusting.reader.wait(10)
    calls.submit()
    (looked_up,) = trusting.reader.take(10)[0]
    assert whole._replace(ticket="", run_id="") == looked_up._replace(ticket="", run_id="")


@pytest.mark.parametrize("special", [{"l": "door|5"}, {"x": 60_000}, {"body": b"x" * 513}, {"y": "2"}])
def test_a_call_with_anything_special_is_looked_up(trusting: Trips, calls: Calls, special: dict[str, object]) -> None:
    run = calls.submit(**special)  # type: ignore[arg-type]
    (delivery,) = trusting.reader.wait(10)
    assert (delivery.run_id, trusting.count) == (run, 1)


def test_a_call_that_comes_again_is_looked_up(trusting: Trips, broker: RedisBroker, calls: Calls) -> None:
    run = calls.submit()
    (first,) = trusting.reader.wait(10)
    broker.deliveries.complete("worker", [Ack(first.ticket, run, AckKind.RETRY, b"", 60_000)])
    broker.runs.move_due()
    (second,) = trusting.reader.wait(10)
    assert (second.run_id, second.retries, trusting.count) == (run, 1, 1)


def test_one_that_may_have_been_given_to_another_is_looked_up(broker: RedisBroker, calls: Calls) -> None:
    slept = Trips(broker, trust_seconds=0.0)
    calls.submit()
    entry = slept.reader._claim()
    slept.reader._claim = lambda: entry  # type: ignore[method-assign]  # its process slept before it read the reply
    broker.deliveries.take_over("worker")
    (delivery,) = slept.reader.wait(10)
    assert (delivery.deliveries, slept.count) == (2, 1)  # as it was queued again, not as it lay in the reply
    assert delivery.ticket.startswith("q:rs ")
    slept.reader.close()
