"""A broker is a handful of small protocols, and every broker has all of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest

from brokers import base
from brokers.base import Broker
from brokers.connect import BrokerOptions, connect
from brokers.memory.broker import MemoryBroker

FACETS = sorted(name for name, value in vars(Broker).items() if isinstance(value, property) and name != "connected")
UPPER_FLOORS = [
    path
    for floor in ("orchestrator", "task_workers")
    for path in (Path(base.__file__).parents[1] / floor).rglob("*.py")
]


def verbs(protocol: type) -> set[str]:
    return {name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")}


def test_there_are_facets() -> None:
    assert {"runs", "records", "deliveries", "consumers", "queues", "inboxes", "journal", "cache", "logs"} < set(FACETS)


@pytest.mark.parametrize("name", [name for name in base.__all__ if name not in ("Broker", "PrivateServer")])
def test_a_protocol_is_small(name: str) -> None:
    assert 1 <= len(verbs(getattr(base, name))) <= 8


@pytest.mark.parametrize("url", ["redis://localhost", "celery+amqp://guest@localhost//"])
def test_a_broker_for_a_url_has_every_facet_with_every_verb(url: str) -> None:
    broker = connect(BrokerOptions(url, redis_url="redis://localhost"))
    assert not broker.connected
    for facet in FACETS:
        if facet == "carrier":
            assert (broker.carrier is not None) == url.startswith("celery+")
            continue
        protocol = get_type_hints(vars(Broker)[facet].fget)["return"]
        missing = {verb for verb in verbs(protocol) if not callable(getattr(getattr(broker, facet), verb, None))}
        assert not missing, facet


def test_a_broker_in_memory_is_nothing_more_than_the_protocols_say() -> None:
    """Else it would grow into a second implementation: what upper floors could use is what a broker has."""
    beyond = {name for name in vars(MemoryBroker()) if not name.startswith("_")} - {"store", "ttl_ms", "private_server"}
    assert beyond <= set(FACETS)


def test_no_floor_above_asks_what_kind_of_broker_it_has() -> None:
    asks = re.compile(r"isinstance\([^)]*Broker\b|broker\.carried|cast\(\s*(RedisBroker|Broker)")
    assert UPPER_FLOORS
    assert [str(path) for path in UPPER_FLOORS if asks.search(path.read_text())] == []
