"""The broker under test: one namespace per test on every server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.redis.broker import RedisBroker
from brokers.redis.wire import Wires
from brokers.urls import parse_url
from tests.support.carriage import Calls
from tests.support.servers import ServerProcess


@pytest.fixture(scope="session")
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
