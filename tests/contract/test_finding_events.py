"""Events in pages: every wanted one once, in order, however small the pages, and no further than a page needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from brokers.redis.broker import RedisBroker
from orchestrator.client.fleet import Fleet
from orchestrator.events import Event, EventFilter, emit_event, get_events_client, get_events_subscriber, subscribe
from orchestrator.events.filters import EventOrder
from orchestrator.events.search import find_events
from orchestrator.runs.run_ids import new_run_id
from orchestrator.settings import Settings
from tests.support.carriage import Calls
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

ORDER = {"prefect.resource.id": "shop.order.7"}


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as made:
        yield made


def walked(fleet: Fleet, limit: int = 50, **conditions: Any) -> list[Event]:
    """The events of all pages."""
    wanted, after = EventFilter.model_validate(conditions), None
    events: list[Event] = []
    while True:
        page = find_events(fleet.broker, wanted, limit, after)
        assert len(page.events) <= limit
        events += page.events
        if page.next is None:
            return events
        after = page.next


def names(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def shop_day(fleet: Fleet, calls: int = 5) -> None:
    """A map of calls, flow runs, and what a program reports."""
    emit_event("shop.opened", ORDER, payload={"note": "rain"})
    Calls(fleet.broker).submit_many(calls)  # type: ignore[arg-type]
    for kind in ("RUNNING", "COMPLETED"):
        fleet.broker.flow_runs.write(new_run_id(), {"flow": "nightly", "type": kind})
    emit_event("shop.closed", ORDER, related=[{"prefect.resource.id": "a.b", "prefect.resource.role": "owner"}])


@pytest.mark.parametrize("order", list(EventOrder))
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_have_every_event_once_and_in_order(fleet: Fleet, order: EventOrder, limit: int) -> None:
    shop_day(fleet)
    events = walked(fleet, limit, order=order)
    assert len({event.id for event in events}) == len(events) == 9
    received = [event.received for event in events]  # type: ignore[attr-defined]
    assert received == sorted(received, reverse=order == EventOrder.DESC)
    assert [event.id for event in events] == [event.id for event in walked(fleet, order=order)]


def test_what_comes_meanwhile_is_on_no_later_page(fleet: Fleet) -> None:
    shop_day(fleet)
    first = find_events(fleet.broker, EventFilter(), 3)
    shop_day(fleet)
    rest = find_events(fleet.broker, EventFilter(), 50, first.next)
    assert len(first.events) + len(rest.events) == 9
    assert rest.next is None


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"event": {"prefix": ["orchestrator.flow-run."]}}, ["prefect.flow-run.Completed", "prefect.flow-run.Running"]),
        ({"event": {"name": ["prefect.flow-run.Running"]}}, ["prefect.flow-run.Running"]),
        ({"event": {"exclude_prefix": ["prefect."], "exclude_name": ["shop.opened"]}}, ["shop.closed"]),
        ({"event": {"pattern": ["shop.o*", "prefect.flow-run.Running"]}}, ["prefect.flow-run.Running", "shop.opened"]),
        ({"resource": {"id": ["shop.order.7"]}}, ["shop.closed", "shop.opened"]),
        ({"resource": {"id_prefix": ["shop."], "labels": {"prefect.resource.id": "!shop.order.7"}}}, []),
        ({"related": {"role": ["owner"]}}, ["shop.closed"]),
        ({"related": [{"id": ["a.b"]}, {"role": ["flow"]}]}, []),
        ({"related": {"resources_in_roles": [["a.b", "owner"]]}}, ["shop.closed"]),
        ({"any_resource": {"id": ["a.b"]}}, ["shop.closed"]),
        ({"any_resource": [{"id_prefix": ["a."]}, {"labels": {"prefect.resource.id": "shop.*"}}]}, ["shop.closed"]),
        ({"text": {"query": "rain"}}, ["shop.opened"]),
        ({"text": {"query": "+shop -rain"}}, ["shop.closed"]),
        ({"occurred": {"since": datetime.now(UTC) + timedelta(days=1)}}, []),
        ({"occurred": {"until": datetime.now(UTC) - timedelta(days=1)}}, []),
        ({"id": {"id": ["0199f1c2-0000-7000-8000-0000000004d2"]}}, []),
    ],
)
def test_filters_mean_what_they_mean_in_prefect(fleet: Fleet, conditions: dict[str, Any], expected: list[str]) -> None:
    shop_day(fleet)
    assert sorted(names(walked(fleet, 2, **conditions))) == expected


def test_an_event_is_found_by_its_id_and_by_when_it_occurred(fleet: Fleet) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    old = emit_event("shop.founded", ORDER, occurred=long_ago)
    assert old is not None
    emit_event("shop.opened", ORDER)
    assert names(walked(fleet, id={"id": [str(old.id)]})) == ["shop.founded"]
    for order in EventOrder:
        assert names(walked(fleet, occurred={"until": long_ago}, order=order)) == ["shop.founded"]


def test_a_place_that_is_none_is_refused(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="no place among the events"):
        find_events(fleet.broker, EventFilter(), after="x")


def test_filters_that_would_be_ignored_are_refused() -> None:
    for conditions in ({"resource": {"distinct": True}}, {"nonsense": {}}):
        with pytest.raises(ValueError, match=r"not supported|not permitted"):
            EventFilter.model_validate(conditions)


def test_a_page_reads_the_records_of_few_runs_however_many_there_are(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_day(fleet, 1000)
    read: list[str] = []
    rows = type(fleet.broker.records).rows

    def counted(records: Any, run_ids: list[str], *more: Any) -> Any:
        read.extend(run_ids)
        return rows(records, run_ids, *more)

    monkeypatch.setattr(type(fleet.broker.records), "rows", counted)
    page = find_events(fleet.broker, EventFilter(), 10)
    assert len(page.events) == 10
    assert len(read) <= 20, len(read)
    read.clear()
    assert len(walked(fleet, event={"prefix": ["prefect.flow-run."]})) == 2
    assert read == []


def test_a_search_that_takes_too_long_stops_and_goes_on_with_the_next_page(fleet: Fleet) -> None:
    shop_day(fleet, 100)
    wanted = EventFilter.model_validate({"event": {"name": ["shop.opened"]}, "any_resource": {}})
    pages, after, found = 0, None, []
    wanted.event = None  # so that runs are looked at
    wanted.text = EventFilter.model_validate({"text": {"query": "rain"}}).text
    while pages == 0 or after is not None:
        page = find_events(fleet.broker, wanted, 10, after, seconds=0)
        pages, after, found = pages + 1, page.next, [*found, *page.events]
    assert names(found) == ["shop.opened"]  # type: ignore[arg-type]
    assert pages > 3


# -- as they happen ----------------------------------------------------------------------------------------------------


def test_a_subscription_has_what_happens_from_now_on(fleet: Fleet) -> None:
    emit_event("shop.opened", ORDER)
    with subscribe(EventFilter.model_validate({"event": {"prefix": ["shop."]}})) as events:
        shop_day(fleet)
        assert [next(events).event for _ in range(2)] == ["shop.opened", "shop.closed"]


def test_a_subscription_is_closed_from_another_thread(fleet: Fleet) -> None:
    events = subscribe()
    threading.Timer(0.1, events.close).start()
    assert list(events) == []


def test_clients_of_prefect_write_and_follow_on_an_event_loop(fleet: Fleet) -> None:
    async def both() -> str:
        async with get_events_subscriber() as events, get_events_client() as client:
            await client.emit(Event.model_validate({"event": "shop.opened", "resource": ORDER}))
            emit_event("shop.closed", ORDER)  # does not block the loop
            found = [(await anext(events)).event for _ in range(2)]
            return ", ".join(found)

    assert asyncio.run(both()) == "shop.opened, shop.closed"


def test_a_subscription_waits_for_a_store_that_is_away(
    own_server: Callable[..., ServerProcess], namespace: str
) -> None:
    own = own_server()
    with fleet_of(Settings(redis_url=own.url, namespace=namespace, command_timeout_seconds=0.2)) as fleet:
        assert isinstance(fleet.broker, RedisBroker)
        events = subscribe()
        own.kill()
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.append(next(events).event))
        reader.start()
        own.start()
        emit_event("shop.opened", ORDER)
        reader.join(30)
        assert found == ["shop.opened"]
