"""What is said of servers that are not fit to keep calls, and the rights that are enough."""

from __future__ import annotations

from collections.abc import Callable

from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from tests.support.servers import ServerProcess


def broker_of(server: ServerProcess, namespace: str) -> RedisBroker:
    address = parse_url(server.url)
    return RedisBroker(Wires(lambda: address), namespace)


def test_a_server_that_is_not_fit_is_named(own_server: Callable[..., ServerProcess], namespace: str) -> None:
    broker = broker_of(own_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), namespace)
    told = "\n".join(broker.health.warnings())
    assert "maxmemory-policy is allkeys-lru" in told
    assert "appendonly is off" in told
    broker.wires.commands([("CONFIG", "SET", "maxmemory", "1")])
    assert "full" in "\n".join(broker.health.warnings())
    broker.close()


def test_of_a_fit_server_nothing_is_said(own_server: Callable[..., ServerProcess], namespace: str) -> None:
    broker = broker_of(own_server("--appendonly", "yes"), namespace)
    assert broker.health.warnings() == []
    broker.close()
