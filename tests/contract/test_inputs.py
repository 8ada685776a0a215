"""Inputs of flow runs: each comes out once for each reader, in order, and whoever waits is notified."""

from __future__ import annotations

from queue import SimpleQueue
from uuid import uuid4

import pytest

from brokers.base import Broker
from brokers.errors import BrokerConflict
from brokers.redis.broker import RedisBroker
from tests.support.waiting import wait_until


@pytest.fixture
def run_id(any_broker: Broker) -> str:
    made = str(uuid4())
    any_broker.flow_runs.write(made, {"flow": "asks", "type": "RUNNING"})
    return made


def keys_after(broker: Broker, run_id: str, position: str = "0") -> list[str]:
    return [one.key for one in broker.inputs.after(run_id, position)]


def test_they_come_in_order_after_a_position(any_broker: Broker, run_id: str) -> None:
    inputs = any_broker.inputs
    for number in range(150):
        assert inputs.add(run_id, f"key {number} ✓", bytes([number]))
    first = inputs.after(run_id)
    assert [one.key for one in first] == [f"key {number} ✓" for number in range(100)]
    rest = inputs.after(run_id, first[-1].position)
    assert [one.value for one in rest] == [bytes([number]) for number in range(100, 150)]
    assert inputs.after(run_id, rest[-1].position) == []
    assert inputs.read(run_id, "key 7 ✓") == first[7]


def test_a_key_has_one_input_and_sending_it_again_changes_nothing(any_broker: Broker, run_id: str) -> None:
    assert any_broker.inputs.add(run_id, "key", b"one")
    assert any_broker.inputs.add(run_id, "key", b"one"), "its reply was lost"
    with pytest.raises(BrokerConflict, match=r"an input 'key' already; nothing was written"):
        any_broker.inputs.add(run_id, "key", b"two")
    assert keys_after(any_broker, run_id) == ["key"]


def test_a_run_that_is_not_known_gets_none(any_broker: Broker) -> None:
    assert not any_broker.inputs.add(str(uuid4()), "key", b"one")


def test_one_that_is_deleted_is_gone(any_broker: Broker, run_id: str) -> None:
    any_broker.inputs.add(run_id, "key", b"one")
    assert any_broker.inputs.delete(run_id, "key")
    assert not any_broker.inputs.delete(run_id, "key")
    assert any_broker.inputs.read(run_id, "key") is None
    assert keys_after(any_broker, run_id) == []


def test_whoever_found_none_is_notified_of_the_next(any_broker: Broker, run_id: str) -> None:
    notices: SimpleQueue[tuple[str, str]] = SimpleQueue()
    inbox = any_broker.inboxes.inbox("here", on_orders=lambda orders: [notices.put(one) for one in orders] and None)
    inbox.start()
    try:
        assert any_broker.inputs.after(run_id, "0", 1, "here", "me") == []
        any_broker.inputs.add(run_id, "key", b"one")
        assert notices.get(timeout=30) == ("input", "me")
        any_broker.inputs.add(run_id, "other", b"two")
        assert any_broker.inputs.after(run_id, "0", 9, "here", "me") != []
        any_broker.inputs.add(run_id, "third", b"three")
        assert notices.empty(), "it did not wait"
    finally:
        inbox.stop()


def test_they_go_with_their_flow_run(broker: RedisBroker) -> None:
    run_id = str(uuid4())
    broker.flow_runs.write(run_id, {"flow": "asks", "type": "COMPLETED", "ttl": "600000"})
    broker.inputs.add(run_id, "key", b"one")
    (kept,) = broker.wires.commands([("PTTL", broker.keys.inputs(run_id))])
    assert 500_000 < kept <= 600_000, "as long as its record"
    assert broker.runs.delete([run_id]) == [run_id]
    wait_until(lambda: keys_after(broker, run_id) == [], 10)
    assert broker.inputs.read(run_id, "key") is None


def test_something_else_in_their_place_costs_nothing_but_them(broker: RedisBroker) -> None:
    run_id = str(uuid4())
    broker.flow_runs.write(run_id, {"flow": "asks", "type": "RUNNING"})
    places = broker.keys.inputs(run_id), broker.keys.input_keys(run_id), broker.keys.prefix + f"inpwait:{run_id}"
    broker.wires.commands([("SET", place, "no such thing") for place in places])
    assert broker.inputs.after(run_id, "0", 1, "here", "me") == []
    assert broker.inputs.read(run_id, "key") is None
    assert broker.inputs.add(run_id, "key", b"one")
    assert keys_after(broker, run_id) == ["key"]
