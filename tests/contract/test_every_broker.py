"""What lanes, slot monitors and clients rely on, of every broker, through the protocols alone.

A new kind of broker is a parameter of `any_broker`. What only a server does (dependencies, limits, schedules, damage)
is in the other files of this folder.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from brokers.base import Broker
from brokers.errors import BrokerUnavailable
from brokers.memory.broker import MemoryBroker
from brokers.messages import Ack, AckKind, Delivery, Envelope, RunEnd, Status, routes_of
from orchestrator.runs.run_ids import new_run_id
from tests.support.waiting import wait_until

ROUTES = routes_of(["q"], "s")


def call(route: str = "q:ds", **extras: object) -> Envelope:
    return Envelope(new_run_id(), "app.task", route, b"body", "flow", None, b"\x80", extras or None)


def ack(delivery: Delivery, how: str = AckKind.COMPLETED, outcome: bytes = b"result") -> Ack:
    return Ack(delivery.ticket, delivery.run_id, how, outcome, 60_000)


def send(broker: Broker, **extras: object) -> str:
    return broker.runs.submit([call(**extras)])[0]


def take_one(broker: Broker, consumer: str = "me") -> Delivery:
    ((delivery,), _) = broker.deliveries.fetch(consumer, ROUTES, 1)
    return delivery


def put_all(queue: SimpleQueue[Any], some: list[Any]) -> None:
    for one in some:
        queue.put(one)


def status(broker: Broker, run_id: str) -> bytes:
    return broker.records.read([run_id])[0].status


def test_a_call_comes_out_as_it_went_in(any_broker: Broker) -> None:
    envelope = call()
    assert any_broker.runs.submit([envelope]) == [envelope.run_id]
    assert status(any_broker, envelope.run_id) == Status.QUEUED
    delivery = take_one(any_broker)
    assert delivery[1:10] == (envelope.run_id, "app.task", b"body", 0, 0, "flow", b"\x80", 1, None)
    assert any_broker.deliveries.fetch("me", ROUTES, 9) == ([], [])


def test_a_held_call_is_handed_over_once_under_its_ticket(any_broker: Broker) -> None:
    run_id, deliveries = send(any_broker), any_broker.deliveries
    delivery = take_one(any_broker, "worker")
    pod = (run_id, delivery.ticket, "worker")
    assert deliveries.hand_over(run_id, "q:ds 1-1", "worker", "pod") is None
    assert deliveries.hand_over(new_run_id(), delivery.ticket, "worker", "pod") is None
    assert deliveries.hand_over(*pod, "pod") == delivery
    assert deliveries.hand_over(*pod, "pod") == delivery  # its reply was lost
    assert deliveries.hand_over(*pod, "late pod") is None
    assert deliveries.pending("worker", ROUTES) == {}
    assert deliveries.pending("pod", ROUTES) == {delivery.ticket: run_id}
    assert deliveries.take_over("worker") == 0
    assert deliveries.complete("pod", [ack(delivery)]) == []
    assert deliveries.hand_over(*pod, "pod") is None


def test_a_call_that_was_taken_over_is_not_handed_over(any_broker: Broker) -> None:
    run_id = send(any_broker)
    stale = take_one(any_broker, "dead")
    assert any_broker.deliveries.take_over("dead") == 1
    assert any_broker.deliveries.hand_over(run_id, stale.ticket, "dead", "late pod") is None
    again = take_one(any_broker, "living")
    assert again.ticket != stale.ticket
    assert any_broker.deliveries.hand_over(run_id, again.ticket, "living", "pod") == again


def test_a_call_that_is_to_be_cancelled_goes_to_nobody_but_its_holder(any_broker: Broker) -> None:
    run_id = send(any_broker)
    delivery = take_one(any_broker, "worker")
    any_broker.deliveries.started([(delivery.ticket, run_id)])
    any_broker.runs.cancel([run_id])
    assert status(any_broker, run_id) == Status.CANCELLING
    assert any_broker.deliveries.hand_over(run_id, delivery.ticket, "worker", "pod") is None
    own = any_broker.deliveries.hand_over(run_id, delivery.ticket, "worker", "worker.end", even_cancelled=True)
    assert own == delivery


def test_an_idempotency_key_leads_to_the_first_run(any_broker: Broker) -> None:
    first = send(any_broker, i=["order", 60_000])
    assert send(any_broker, i=["order", 60_000]) == first


def test_a_run_ends_once_however_often_that_is_said(any_broker: Broker) -> None:
    send(any_broker)
    delivery = take_one(any_broker)
    assert any_broker.deliveries.complete("me", [ack(delivery)]) == []
    assert any_broker.deliveries.complete("me", [ack(delivery, AckKind.FAILED)]) == []
    (record,) = any_broker.records.read([delivery.run_id])
    assert (record.status, record.outcome) == (Status.COMPLETED, b"result")


def test_acks_travel_with_the_next_fetch(any_broker: Broker) -> None:
    send(any_broker)
    send(any_broker)
    first = take_one(any_broker)
    ((second,), refused) = any_broker.deliveries.fetch("me", ROUTES, 1, [ack(first)])
    assert (refused, status(any_broker, first.run_id)) == ([], Status.COMPLETED)
    assert any_broker.deliveries.pending("me", ROUTES) == {second.ticket: second.run_id}


def test_a_call_that_is_handed_back_is_as_new(any_broker: Broker) -> None:
    send(any_broker)
    delivery = take_one(any_broker)
    assert any_broker.deliveries.complete("me", [ack(delivery, AckKind.HAND_BACK, b"")]) == []
    again = take_one(any_broker, "you")
    assert (again.run_id, again.retries, again.crashes) == (delivery.run_id, 0, 0)
    assert again.ticket != delivery.ticket


def test_the_calls_of_a_dead_consumer_go_to_others(any_broker: Broker) -> None:
    any_broker.consumers.beat(["dead"], 10)
    send(any_broker)
    old = take_one(any_broker, "dead")
    wait_until(lambda: any_broker.consumers.beat(["me"], 0.01) and "dead" in any_broker.consumers.beat(["me"], 0.01))
    assert any_broker.deliveries.take_over("dead", charge_running=False) == 1
    new = take_one(any_broker)
    assert new.run_id == old.run_id
    assert any_broker.deliveries.complete("dead", [ack(old)]) == [old.run_id]


def test_what_waits_is_cancelled_and_what_runs_is_told_to_stop(any_broker: Broker) -> None:
    running = send(any_broker)
    delivery = take_one(any_broker)
    assert any_broker.deliveries.started([(delivery.ticket, running)]) == []
    waiting = send(any_broker)
    assert any_broker.runs.cancel([waiting, running, "nothing"]) == [Status.QUEUED, Status.RUNNING, Status.UNKNOWN]
    assert status(any_broker, waiting) == Status.CANCELLED
    assert status(any_broker, running) == Status.CANCELLING
    assert any_broker.deliveries.started([(delivery.ticket, running)]) == [running]


def test_the_end_comes_to_the_inbox_of_whoever_expects_it(any_broker: Broker) -> None:
    ends: SimpleQueue[RunEnd] = SimpleQueue()
    orders: SimpleQueue[tuple[str, str]] = SimpleQueue()
    inbox = any_broker.inboxes.inbox(
        "here",
        on_settled=lambda some: put_all(ends, some),
        on_orders=lambda some: put_all(orders, some),
    )
    inbox.start()
    try:
        assert any_broker.inboxes.is_listening("here")
        assert any_broker.inboxes.send_order("ping", ["here", "gone"]) == {"here"}
        assert orders.get(timeout=10) == ("ping", "")
        run_id = send(any_broker)
        assert any_broker.inboxes.expect([run_id], "here") == []
        any_broker.deliveries.complete("me", [ack(take_one(any_broker))])
        assert ends.get(timeout=10) == (run_id, Status.COMPLETED, b"result")
        assert any_broker.inboxes.expect([run_id], "here") == [(run_id, Status.COMPLETED, b"result")]
    finally:
        inbox.stop()
    assert not any_broker.inboxes.is_listening("here")


def test_a_reader_blocks_until_a_call_comes_or_it_is_closed(any_broker: Broker) -> None:
    reader = any_broker.deliveries.reader("me", ROUTES, block_seconds=10)
    reader.prepare()
    got: SimpleQueue[object] = SimpleQueue()

    def read() -> None:
        try:
            while True:
                for delivery in reader.wait(1):
                    got.put(delivery.run_id)
        except BrokerUnavailable as error:
            got.put(error)

    thread = threading.Thread(target=read)
    thread.start()
    run_id = send(any_broker)
    assert got.get(timeout=10) == run_id
    reader.close()
    assert isinstance(got.get(timeout=10), BrokerUnavailable)
    thread.join(10)
    assert reader.closed


def test_of_a_paused_queue_nothing_is_handed_out(any_broker: Broker) -> None:
    run_id = send(any_broker)
    assert any_broker.queues.pause("q")
    assert not any_broker.queues.pause("q")
    assert any_broker.queues.paused() == {"q"}
    assert any_broker.deliveries.fetch("me", ROUTES, 1) == ([], [])
    assert any_broker.queues.resume("q")
    assert take_one(any_broker).run_id == run_id


def test_an_ended_run_is_replayed_and_forgotten(any_broker: Broker) -> None:
    run_id = send(any_broker)
    assert any_broker.runs.replay([run_id]) == []
    any_broker.deliveries.complete("me", [ack(take_one(any_broker))])
    assert any_broker.runs.replay([run_id]) == [run_id]
    any_broker.deliveries.complete("me", [ack(take_one(any_broker))])
    assert any_broker.runs.delete([run_id]) == [run_id]
    assert status(any_broker, run_id) == Status.UNKNOWN


def test_what_is_kept_beside_runs_is_found_again(any_broker: Broker) -> None:
    any_broker.cache.put("key", b"value", 60)
    assert (any_broker.cache.get("key"), any_broker.cache.get("other")) == (b"value", None)
    any_broker.logs.append({"run": [b"one", b"two", b"three"]}, keep=2)
    assert any_broker.logs.read("run") == [b"two", b"three"]
    assert any_broker.logs.newest(["run", "other"]) == {"run": b"three", "other": None}
    any_broker.flow_runs.write("flow", {"flow": "nightly", "type": "RUNNING"})
    assert any_broker.flow_runs.read("flow") == {"flow": b"nightly", "type": b"RUNNING"}
    assert any_broker.flow_runs.names(["flow", "other"]) == [("nightly", None, None), ("", None, None)]


def test_who_lives_says_what_it_is(any_broker: Broker) -> None:
    any_broker.consumers.beat(["me"], 10)
    any_broker.consumers.describe("me", {"host": "here"}, 60)
    assert any_broker.consumers.alive(10) == {"me": {"host": "here"}}
    assert any_broker.health.is_reachable()


def test_what_a_broker_in_memory_has_not_it_refuses_and_says_where_it_is() -> None:
    broker: Broker = MemoryBroker()
    for ask in (
        lambda: broker.journal.newest(),
        lambda: broker.figures.queues(),
        lambda: broker.dead_letters.count(),
        lambda: broker.queues.purge("q"),
        lambda: broker.records.rows(["run"]),
    ):
        with pytest.raises(BrokerUnavailable, match="private_fleet"):
            ask()


def test_a_broker_in_memory_may_be_taken_away() -> None:
    broker = MemoryBroker()
    broker.store.away = True
    assert not broker.health.is_reachable()
    for ask in (
        lambda: broker.runs.submit([call()]),
        lambda: broker.deliveries.fetch("me", ROUTES, 1),
        lambda: broker.records.read(["run"]),
        lambda: broker.consumers.beat(["me"], 10),
    ):
        with pytest.raises(BrokerUnavailable):
            ask()
