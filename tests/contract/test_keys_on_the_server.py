"""What a namespace looks like on a server, seen with a plain client (pytest-redis) that knows nothing of us."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pytest_redis import factories
from redis.crc import key_slot

from brokers.embedded.binary import find_server_binary
from brokers.messages import Ack, AckKind, Envelope, routes_of
from brokers.redis import keys as keys_module
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from orchestrator.runs.run_ids import new_run_id

server_proc = factories.redis_proc(executable=str(find_server_binary()))
client = factories.redisdb("server_proc")


@pytest.fixture
def broker(client: redis.Redis) -> Iterator[RedisBroker]:
    address = parse_url(f"unix://{client.connection_pool.connection_kwargs['path']}")
    made = RedisBroker(Wires(lambda: address), "keys", result_ttl_seconds=60)
    yield made
    made.close()


def envelope(**extras: object) -> Envelope:
    return Envelope(new_run_id(), "app.task", "default:ds", b"\x01\x92\x91\x05\x80", extras=extras or None)


def busy(broker: RedisBroker) -> None:
    """Leave something of every kind on the server."""
    first, second = envelope(), envelope(d=60_000, i=["key", 60_000], x=60_000)
    limited = [envelope(l="door|1") for _ in range(2)]
    broker.runs.submit([first, second, envelope(r=[(first.run_id, False)]), envelope(g="rate|1000.000|0"), *limited])
    broker.consumers.beat(["worker"], 10)
    broker.consumers.describe("worker", {"queues": "default"}, 60)
    broker.deliveries.fetch("worker", routes_of(["default"], "s"), 10)
    broker.inboxes.expect([second.run_id], "inbox")
    broker.logs.append({first.run_id: [b"line"]}, 10)
    broker.cache.put("cached", b"value", 60)
    broker.flow_runs.write("flow", {"state": "Running"})
    broker.documents.write("limit", "db", {"size": "3"}, name="db")
    facts = ["type", "SCHEDULED", "deployment", "nightly", "parent", "flow", "with_parent", "1"]
    broker.runs.submit([envelope(F=facts, T=60_000)])
    broker.flow_runs.note([("flow", {"type": "CRASHED"}, False)])


def test_every_key_lies_in_one_hash_slot_and_is_described(client: redis.Redis, broker: RedisBroker) -> None:
    busy(broker)
    found = [key.decode() for key in client.scan_iter()]
    assert len(found) > 12
    assert {key_slot(key.encode()) for key in found} == {key_slot(b"{keys}:")}
    described = re.findall(r"``([\w]+):?<?", keys_module.__doc__ or "")
    assert {key.split("}:")[1].split(":")[0] for key in found} <= set(described)


def test_a_waiting_call_costs_less_than_500_bytes(client: redis.Redis, broker: RedisBroker) -> None:
    broker.runs.submit([envelope() for _ in range(100)])
    before = int(client.info("memory")["used_memory"])
    broker.runs.submit([envelope() for _ in range(20_000)])
    assert (int(client.info("memory")["used_memory"]) - before) / 20_000 < 500


def test_what_has_ended_expires(client: redis.Redis, broker: RedisBroker) -> None:
    run = envelope()
    broker.runs.submit([run])
    (delivery,), _ = broker.deliveries.fetch("worker", routes_of(["default"], "s"), 1)
    assert client.ttl(broker.keys.record(run.run_id)) == -1  # a call that waits or runs never expires
    broker.deliveries.complete("worker", [Ack(delivery.ticket, run.run_id, AckKind.COMPLETED, b"\x90", 60_000)])
    assert 0 < client.pttl(broker.keys.record(run.run_id)) <= 60_000


def test_scripts_say_what_they_take_and_return() -> None:
    for script in (Path(keys_module.__file__).parent / "scripts").glob("*.lua"):
        head = script.read_text()[:600]
        assert "-- args:" in head, script.name
        assert "returns:" in head, script.name
