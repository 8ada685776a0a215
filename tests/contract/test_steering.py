"""Queues that are paused, purged and looked at; orders to workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from brokers.base import QueueReader
from brokers.messages import Delivery, Status
from brokers.records import QueueFigures
from brokers.redis import figures
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason
from tests.support.carriage import ROUTES, Calls, assert_nothing_left
from tests.support.letters import Letters
from tests.support.waiting import wait_until


@pytest.fixture
def reader(broker: RedisBroker) -> Iterator[QueueReader]:
    made = broker.deliveries.reader("reader", ROUTES, block_seconds=10)
    made.prepare()
    with closing(made):
        yield made


def figures_of(broker: RedisBroker, queue: str) -> QueueFigures:
    return next(row for row in broker.figures.queues() if row.name == queue)


def in_a_thread(reader: QueueReader) -> tuple[threading.Thread, list[Delivery]]:
    got: list[Delivery] = []
    thread = threading.Thread(target=lambda: got.extend(reader.wait(1)))
    thread.start()
    return thread, got


def test_of_a_paused_queue_nothing_is_handed_out_until_it_is_resumed(calls: Calls, broker: RedisBroker) -> None:
    before = calls.submit()
    assert broker.queues.pause("q")
    assert not broker.queues.pause("q")
    assert broker.queues.paused() == {"q"}
    after = calls.submit()
    assert calls.take() == []
    assert figures_of(broker, "q")[1:3] == (2, 0)
    assert broker.queues.resume("q")
    assert not broker.queues.resume("q")
    assert {delivery.run_id for delivery in calls.take()} == {before, after}


def test_what_was_claimed_before_a_queue_is_paused_ends_as_ever(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    delivery = calls.take_one()
    broker.queues.pause("q")
    assert calls.end(delivery)
    assert calls.status(run_id) == Status.COMPLETED


def test_other_queues_go_on_while_one_is_paused(calls: Calls, broker: RedisBroker) -> None:
    calls.submit()
    other = calls.submit(route="other:ds")
    broker.queues.pause("q")
    assert [delivery.run_id for delivery in calls.take(routes=[*ROUTES, "other:ds"])] == [other]


def test_a_call_that_a_blocking_read_claims_of_a_paused_queue_goes_back(
    calls: Calls, broker: RedisBroker, reader: QueueReader
) -> None:
    broker.queues.pause("q")
    run_id = calls.submit()
    assert reader.wait(1) == []  # this reader has not been told, and claims it
    assert figures_of(broker, "q")[1:3] == (1, 0)
    broker.queues.resume("q")
    again = calls.take_one()
    assert (again.run_id, again.crashes, again.deliveries) == (run_id, 0, 1)


def test_a_reader_that_blocks_without_a_queue_hears_that_it_is_back(
    calls: Calls, broker: RedisBroker, reader: QueueReader
) -> None:
    reader.leave_out(frozenset({"q"}))
    thread, got = in_a_thread(reader)
    reader.leave_out(frozenset())
    thread.join(5)
    assert not thread.is_alive()  # long before ten seconds are over: it reads again
    run_id = calls.submit()
    assert [delivery.run_id for delivery in got or reader.wait(1)] == [run_id]


def test_a_reader_that_is_to_take_nothing_leaves_its_blocking_read(
    calls: Calls, broker: RedisBroker, reader: QueueReader
) -> None:
    thread, got = in_a_thread(reader)
    wait_until(lambda: reader._blocking, message="it blocks")
    reader.leave_out(None)
    thread.join(5)
    assert not thread.is_alive()
    run_id = calls.submit()
    assert reader.take(1) == ([], [])
    assert got == []
    reader.leave_out(frozenset())
    assert [delivery.run_id for delivery in reader.take(1)[0]] == [run_id]


def test_workers_are_told_of_a_pause_in_their_inboxes(broker: RedisBroker) -> None:
    broker.consumers.beat(["worker"], 10)
    with Letters(broker, "worker") as letters:
        broker.queues.pause("q")
        assert letters.next_order() == ("pause_queue", "q")
        broker.queues.resume("q")
        assert letters.next_order() == ("resume_queue", "q")


def test_an_order_reaches_those_who_listen_and_says_who_does(broker: RedisBroker) -> None:
    with Letters(broker, "here") as letters:
        assert broker.inboxes.send_order("stop", ["here", "gone"]) == {"here"}
        assert letters.next_order() == ("stop", "")


def test_a_purge_ends_what_waits_and_leaves_the_rest(calls: Calls, broker: RedisBroker) -> None:
    (held,) = calls.submit_many(1)
    delivery = calls.take_one()
    waiting = [*calls.submit_many(1100), calls.submit(route="q:ha"), calls.submit(route="q:ls")]
    delayed, elsewhere = calls.submit(d=60_000), calls.submit(route="other:ds")
    dependant = calls.submit(after=(waiting[0],))
    assert broker.queues.purge("q") == len(waiting)
    assert {calls.status(run_id) for run_id in (waiting[0], *waiting[-3:])} == {Status.CANCELLED}
    assert (calls.text(waiting[0]), calls.reason(waiting[0])) == ("purged", Reason.PURGED)
    assert calls.status(dependant) == Status.NOT_READY
    assert [calls.status(run_id) for run_id in (delayed, elsewhere)] == [Status.DELAYED, Status.QUEUED]
    assert calls.end(delivery)
    assert calls.status(held) == Status.COMPLETED
    assert broker.queues.purge("q") == 0


def test_a_purged_queue_leaves_nothing_behind(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    broker.queues.purge("q")
    assert calls.take() == []
    assert_nothing_left(broker)


def test_the_figures_of_a_queue(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(2)
    calls.take(1)
    calls.submit(route="q:ha")
    calls.submit(d=60_000)
    began = time.monotonic()
    first = figures_of(broker, "q")
    assert (first.waiting, first.held, first.delayed, first.paused) == (2, 1, 1, False)
    assert first.oldest_seconds is not None

    def older() -> bool:
        now = figures_of(broker, "q").oldest_seconds
        assert now is not None
        assert first.oldest_seconds is not None
        return now > first.oldest_seconds

    wait_until(older)
    assert figures_of(broker, "q").oldest_seconds <= time.monotonic() - began + first.oldest_seconds + 1  # type: ignore[operator]


def test_an_empty_queue_has_no_oldest_call_and_one_that_is_only_paused_is_told(
    calls: Calls, broker: RedisBroker
) -> None:
    calls.submit()
    calls.run_all()
    broker.queues.pause("never-used")
    assert figures_of(broker, "q") == ("q", 0, 0, 0, None, False)
    assert figures_of(broker, "never-used") == ("never-used", 0, 0, 0, None, True)


def test_many_queues_are_told_in_slices_and_in_order(
    calls: Calls, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "QUEUES_PER_TRIP", 4)
    names = [f"q{number:02}" for number in range(10)]
    for name in names:
        calls.submit(route=f"{name}:ds")
    assert [row.name for row in broker.figures.queues(["further"])] == ["further", *names]


def test_what_a_consumer_holds_and_runs(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    broker.consumers.beat(["busy", "idle"], 10)
    broker.consumers.describe("busy", {"queues": "q", "host": "here"}, 60)
    running, *_ = calls.take(consumer="busy")
    broker.deliveries.started([(running.ticket, running.run_id)])
    told = {row.name: row for row in broker.figures.consumers(10)}
    assert (told["busy"].held, told["busy"].running) == (3, [running.run_id])
    assert (told["idle"].held, told["idle"].running, told["idle"].facts) == (0, [], {})
    assert told["busy"].facts["host"] == "here"
    assert 0 <= told["busy"].beat_age_seconds < 10


def test_a_consumer_whose_lease_has_run_out_is_not_told(broker: RedisBroker) -> None:
    broker.consumers.beat(["late"], 10)
    wait_until(lambda: broker.figures.consumers(0.05) == [])
    assert [row.name for row in broker.figures.consumers(60)] == ["late"]
