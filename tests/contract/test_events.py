"""Events beside the journal: kept in order, written once, trimmed by age; damage costs the event that it is in."""

from __future__ import annotations

from typing import Any

import pytest

from brokers.base import Broker
from brokers.facets.events import StoredEvent
from brokers.records import BEGINNING
from brokers.redis.broker import RedisBroker
from brokers.redis.store import pack


def told(number: int) -> StoredEvent:
    resource = {"prefect.resource.id": f"shop.order.{number}", "size": "café"}
    related = [{"prefect.resource.id": "shop.customer.1", "prefect.resource.role": "customer"}]
    return StoredEvent(f"shop.order.{number}", resource, related, b"", f"id-{number}", 1.5, "", b'{"total":12}')


def names(entries: list[tuple[str, list[StoredEvent | None]]]) -> list[str]:
    return [event.name if event is not None else "damaged" for _, some in entries for event in some]


def test_they_are_read_as_they_were_written_in_both_directions(any_broker: Broker) -> None:
    facet = any_broker.events
    assert facet.newest() == BEGINNING
    facet.append([told(1), told(2)])
    facet.append([told(3)])
    entries = facet.forwards()
    assert [event for _, some in entries for event in some] == [told(1), told(2), told(3)]
    assert facet.newest() == entries[-1][0]
    assert names(facet.forwards(entries[0][0], 1)) == ["shop.order.2"]
    assert names(facet.backwards()) == ["shop.order.3", "shop.order.2", "shop.order.1"]
    assert names(facet.backwards(f"({entries[-1][0]}", 1)) == ["shop.order.2"]
    assert names(facet.backwards(entries[0][0])) == ["shop.order.1"]


def test_what_is_written_again_is_there_once(any_broker: Broker) -> None:
    """A reply was lost, or two report the same under one id."""
    any_broker.events.append([told(1), told(1)])
    any_broker.events.append([told(1), told(2)])
    assert names(any_broker.events.forwards()) == ["shop.order.1", "shop.order.2"]
    without = told(3)._replace(id="")
    any_broker.events.append([without, without])
    assert names(any_broker.events.forwards())[2:] == ["shop.order.3"] * 2


@pytest.mark.parametrize(
    "entry",
    [
        {"x": "1"},
        {"e": b"\xc1"},
        {"e": pack(7)},
        {"e": pack([7])},
        {"e": pack([["a.b", "no labels", [], ""]])},
        {"e": pack([["a.b", ["prefect.resource.id", "c"], [7], ""]])},
        {"e": pack([[1, ["prefect.resource.id", "c"], [], ""]])},
        {"e": pack([["a.b", ["prefect.resource.id", "c"], [], {"not": "text"}]])},
    ],
)
def test_a_damaged_entry_costs_itself(broker: RedisBroker, entry: dict[str, Any]) -> None:
    broker.events.append([told(1)])
    flat = [part for pair in entry.items() for part in pair]
    broker.wires.commands([("XADD", broker.keys.events, "*", *flat)])
    broker.events.append([told(2)])
    found = broker.events.forwards()
    assert len(found) == 3  # a place in an entry never changes, whoever reads it
    assert [name for name in names(found) if name != "damaged"] == ["shop.order.1", "shop.order.2"]


def test_something_else_in_their_place_is_none_and_gives_way(broker: RedisBroker) -> None:
    broker.wires.commands([("SET", broker.keys.events, "no stream")])
    assert broker.events.forwards() == []
    broker.events.append([told(1)])
    assert names(broker.events.forwards()) == ["shop.order.1"]


def test_they_are_trimmed_by_their_age(broker: RedisBroker) -> None:
    broker.events.append([told(number) for number in range(150)])  # the server trims whole nodes of a hundred entries
    broker.consumers.tidy(10, 10, events_ttl_seconds=60)
    assert len(broker.events.forwards()) == 150
    broker.consumers.tidy(10, 10, events_ttl_seconds=-60)
    assert len(broker.events.forwards()) <= 50
