"""The brokers under test: one namespace per test on every server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from brokers.base import Broker
from brokers.connect import BrokerOptions, connect
from brokers.memory.broker import MemoryBroker
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.urls import parse_url
from tests.support.carriage import Calls
from tests.support.cut_connections import Cut
from tests.support.servers import ServerProcess


@pytest.fixture(scope="module")
def wires(server: ServerProcess) -> Iterator[Wires]:
    address = parse_url(server.url)
    made = Wires(lambda: address, command_timeout_seconds=10)
    yield made
    made.close()


@pytest.fixture
def broker(wires: Wires, namespace: str) -> RedisBroker:
    return RedisBroker(wires, namespace, result_ttl_seconds=60)


@pytest.fixture
def calls(broker: RedisBroker) -> Calls:
    return Calls(broker)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Breaks connections at a chosen moment."""
    return Cut(monkeypatch)


MAKERS: dict[str, Callable[[str, str], Broker]] = {
    "redis": lambda url, namespace: connect(
        BrokerOptions(url, namespace=namespace, result_ttl_seconds=60, command_timeout_seconds=10)
    ),
    "memory": lambda url, namespace: MemoryBroker(60),
}


@pytest.fixture(params=MAKERS)
def any_broker(request: pytest.FixtureRequest, server: ServerProcess, namespace: str) -> Iterator[Broker]:
    with closing(MAKERS[request.param](server.url, namespace)) as broker:
        yield broker
