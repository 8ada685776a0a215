"""While calls come one by one, a worker sends ends and asks for the next call in one write; nothing gets lost in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from brokers.errors import BrokerUnavailable
from brokers.messages import Ack, Delivery, Status
from brokers.redis import queue_reader
from brokers.redis.broker import RedisBroker
from brokers.redis.queue_reader import RedisQueueReader
from brokers.redis.transport.protocol import Dialogue
from tests.support.carriage import ROUTES, Calls, assert_nothing_left
from tests.support.waiting import wait_until


class Worker:
    """A reader that has found nothing once, so that calls are expected one by one."""

    def __init__(self, calls: Calls, reader: RedisQueueReader) -> None:
        self.calls, self.reader = calls, reader
        calls.submit()
        assert calls.end(calls.take_one())  # the server knows the scripts
        assert reader.take(10) == ([], [])

    def one(self) -> Ack:
        """Take a call, and run it; its ack."""
        self.calls.submit()
        (delivery,) = self.reader.wait(10)
        return self.calls.ack(delivery)


@pytest.fixture
def worker(broker: RedisBroker, calls: Calls) -> Iterator[Worker]:
    with closing(broker.deliveries.reader("worker", ROUTES, 1.0, trust_seconds=60.0)) as reader:
        yield Worker(calls, reader)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The names of the commands of each write of this thread."""
    seen: list[list[bytes]] = []
    exchange, mine = Dialogue.exchange, threading.get_ident()

    def noted(dialogue: Dialogue, batch: Sequence[Sequence[Any]], *arguments: Any) -> list[Any]:
        if threading.get_ident() == mine:
            seen.append([command[0] for command in batch])
        return exchange(dialogue, batch, *arguments)

    monkeypatch.setattr(Dialogue, "exchange", noted)
    return seen


def test_an_end_and_the_next_claim_are_one_write(worker: Worker, calls: Calls, writes: list[list[str]]) -> None:
    ack = worker.one()
    writes.clear()
    assert worker.reader.take(10, [ack]) == ([], [])
    assert writes == [["EVALSHA", "XREADGROUP"]]
    assert calls.status(ack.run_id) == Status.COMPLETED
    run_id = calls.submit()
    writes.clear()
    (delivery,) = worker.reader.wait(10)
    assert (delivery.run_id, writes) == (run_id, [])
    assert worker.reader.take(10, [calls.ack(delivery)]) == ([], [])
    assert_nothing_left(calls.broker)


def test_the_end_is_stored_before_another_call_comes(worker: Worker, calls: Calls) -> None:
    """It is confirmed at once: nobody would wait for a call that may never come."""
    ack = worker.one()
    assert worker.reader.take(10, [ack]) == ([], [])
    assert worker.reader._asked_at is not None


def test_if_there_are_more_calls_the_script_takes_them_from_the_next_time_on(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    run_ids = [calls.submit() for _ in range(5)]
    first, _ = worker.reader.take(10, [ack])
    others, _ = worker.reader.take(10, [calls.ack(delivery) for delivery in first])
    assert [delivery.run_id for delivery in first] == run_ids[:1]
    assert [delivery.run_id for delivery in others] == run_ids[1:]


def test_a_refused_end_is_said(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    calls.broker.deliveries.take_over("worker")
    again = calls.take_one("other")
    assert worker.reader.take(10, [ack]) == ([], [ack.run_id])
    assert calls.end(again)


def test_an_end_with_something_special_is_stored_though_the_claim_blocks(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    behind = calls.submit(after=(ack.run_id,), route="q:hs")
    assert worker.reader.take(10, [ack]) == ([], [])
    assert calls.status(ack.run_id) == Status.COMPLETED
    (delivery,) = worker.reader.wait(10)
    assert delivery.run_id == behind


def test_a_server_that_has_forgotten_its_scripts_is_taught(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    calls.command("SCRIPT", "FLUSH")
    assert worker.reader.take(10, [ack]) == ([], [])
    assert calls.status(ack.run_id) == Status.COMPLETED
    run_id = calls.submit()
    assert [delivery.run_id for delivery in worker.reader.wait(10)] == [run_id]


def test_more_ends_before_the_claim_is_read_are_stored(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    worker.reader.take(10, [ack])
    calls.submit(route="other:ds")
    other = calls.ack(calls.take_one("worker", ["other:ds"]))
    assert worker.reader.take(10, [other]) == ([], [])
    assert calls.status(other.run_id) == Status.COMPLETED
    run_id = calls.submit()
    assert [delivery.run_id for delivery in worker.reader.wait(10)] == [run_id]


def test_a_claim_that_was_asked_for_ends_with_its_reader(worker: Worker, calls: Calls) -> None:
    worker.reader.take(10, [worker.one()])
    worker.reader.close()
    with pytest.raises(BrokerUnavailable):
        worker.reader.wait(10)
    assert_free(calls)


def test_a_claim_that_was_asked_for_ends_when_nothing_is_to_be_read(worker: Worker, calls: Calls) -> None:
    worker.reader.take(10, [worker.one()])
    waiting: list[Delivery] = []
    thread = threading.Thread(target=lambda: waiting.extend(worker.reader.wait(10)))
    worker.reader.leave_out(None)
    thread.start()
    assert_free(calls)
    worker.reader.leave_out(frozenset())
    thread.join(10)
    assert (waiting, thread.is_alive()) == ([], False)
    run_id = calls.submit()
    assert [delivery.run_id for delivery in worker.reader.take(10)[0]] == [run_id]


def assert_free(calls: Calls) -> None:
    """Nobody blocks on the queue any more: a call that is sent now is for whoever comes."""
    wait_until(lambda: b"cmd=xreadgroup" not in calls.command("CLIENT", "LIST"), message="the claim is given up")
    run_id = calls.submit()
    assert calls.take_one("other").run_id == run_id


def test_a_queue_that_is_emptied_with_its_server_is_read_again(worker: Worker, calls: Calls) -> None:
    ack = worker.one()
    calls.command("DEL", calls.broker.keys.stream("q:ds"))
    assert worker.reader.take(10, [ack]) == ([], [])
    while not (found := worker.reader.take(10)[0] or worker.reader.wait(1)):
        calls.submit()
    assert found


def test_the_script_looks_now_and_then(
    worker: Worker, calls: Calls, writes: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves what is due, and reads routes from the other end in turns."""
    monkeypatch.setattr(queue_reader, "LOOK_SECONDS", 0.0)
    ack = worker.one()
    run_id = calls.submit()
    writes.clear()
    assert [delivery.run_id for delivery in worker.reader.take(10, [ack])[0]] == [run_id]
    assert writes == [["EVALSHA", "EVALSHA"]]
