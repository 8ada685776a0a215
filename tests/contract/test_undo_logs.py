"""What has to be undone if the process of a run dies: written by its delivery alone, and found by whoever is next."""

from __future__ import annotations

from brokers.base import Broker
from brokers.messages import Ack, AckKind, Delivery, Envelope, Status, routes_of
from brokers.redis.broker import RedisBroker
from orchestrator.runs.run_ids import new_run_id
from tests.support.carriage import Calls

ROUTES = routes_of(["q"], "s")
TTL = 60.0


def send(broker: Broker) -> str:
    return broker.runs.submit([Envelope(new_run_id(), "app.task", "q:ds", b"body", "flow", None, b"\x80", None)])[0]


def take(broker: Broker, consumer: str) -> Delivery:
    ((delivery,), _) = broker.deliveries.fetch(consumer, ROUTES, 1)
    return delivery


def test_entries_follow_those_that_stay(any_broker: Broker) -> None:
    logs, run_id = any_broker.undo_logs, new_run_id()
    assert logs.read(run_id) == []
    assert logs.write(run_id, "", 0, [b"one", b"two"], TTL)
    assert logs.write(run_id, "", 2, [b"\xffthree"], TTL)
    assert logs.write(run_id, "", 2, [b"\xffthree"], TTL), "safe to repeat"
    assert logs.read(run_id) == [b"one", b"two", b"\xffthree"]
    assert logs.write(run_id, "", 1, [], TTL)
    assert logs.read(run_id) == [b"one"]
    assert logs.write(run_id, "", 0, [], TTL)
    assert logs.read(run_id) == []
    many = [str(number).encode() for number in range(2500)]
    assert logs.write(run_id, "", 0, many, TTL)
    assert logs.read(run_id) == many


def test_a_delivery_that_was_taken_over_writes_nothing(broker: RedisBroker) -> None:
    run_id = send(broker)
    old = take(broker, "dead")
    assert broker.undo_logs.write(run_id, old.ticket, 0, [b"mine"], TTL)
    broker.deliveries.take_over("dead", charge_running=False)
    assert not broker.undo_logs.write(run_id, old.ticket, 1, [b"late"], TTL), "it is queued"
    new = take(broker, "me")
    assert new.deliveries == 2, "although its worker was not charged: it has to look"
    assert not broker.undo_logs.write(run_id, old.ticket, 0, [], TTL), "nor can it commit"
    assert broker.undo_logs.read(run_id) == [b"mine"]
    assert broker.undo_logs.write(run_id, new.ticket, 0, [], TTL)
    assert broker.undo_logs.read(run_id) == []


def test_a_run_that_ends_with_one_is_listed_until_somebody_has_been_sent_for_it(broker: RedisBroker) -> None:
    run_id, other = send(broker), send(broker)
    first, second = take(broker, "me"), take(broker, "me")
    assert broker.undo_logs.write(run_id, first.ticket, 0, [b"mine"], TTL)
    broker.deliveries.complete("me", [Ack(d.ticket, d.run_id, AckKind.FAILED, b"", 60_000) for d in (first, second)])
    assert list(broker.deliveries.killed()) == [f"~{run_id}"]
    assert broker.records.read([other])[0].status == Status.FAILED
    assert broker.runs.replay([run_id]) == [run_id]
    assert take(broker, "me").deliveries == 2, "a replay looks, too"
    assert broker.deliveries.killed(sent=[f"~{run_id}"]) == {}


def test_something_else_in_its_place_costs_nothing_but_it(broker: RedisBroker) -> None:
    run_id = new_run_id()
    broker.wires.commands([("SET", broker.keys.undo_log(run_id), "no list")])
    assert broker.undo_logs.read(run_id) == []
    assert broker.undo_logs.write(run_id, "", 3, [b"one"], TTL)
    assert broker.undo_logs.read(run_id) == [b"one"]


def test_calls_of_a_map_that_end_with_one_are_listed_too(broker: RedisBroker, calls: Calls) -> None:
    calls.submit_map(6)
    taken = calls.take()
    for delivery in taken[:2]:
        assert broker.undo_logs.write(delivery.run_id, delivery.ticket, 0, [b"something"], 60.0)
    assert broker.deliveries.complete("worker", [calls.ack(one, AckKind.FAILED) for one in taken]) == []
    assert broker.deliveries.killed().keys() == {f"~{delivery.run_id}" for delivery in taken[:2]}
