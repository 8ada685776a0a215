"""Events as a page: filtered, in pages, with links; whatever stands in one is text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.events import emit_event
from orchestrator.runs.run_ids import new_run_id
from orchestrator.server.pages.events import LONGEST_DETAILS, filter_of
from tests.server.pages.test_deployment_pages import open_app
from tests.server.pages.test_pages import text_of

ORDER = {"prefect.resource.id": "shop.order.7", "prefect.resource.name": "Order 7"}


@pytest.fixture
def reader(own_fleet: Fleet) -> Iterator[TestClient]:
    with open_app(own_fleet) as client:
        yield client


def test_an_empty_page_says_what_would_be_there(reader: TestClient) -> None:
    assert "Nothing has happened yet." in text_of(reader.get("/events"))


def test_a_run_has_its_state_and_a_link(reader: TestClient, own_fleet: Fleet) -> None:
    run_id = new_run_id()
    own_fleet.broker.flow_runs.write(run_id, {"flow": "nightly", "name": "owl", "type": "FAILED", "state": "TimedOut"})
    page = reader.get("/events")
    assert "prefect.flow-run.TimedOut" in page.text
    assert f'href="/flows/{run_id}"' in page.text
    assert "owl" in text_of(page)


def test_what_stands_in_an_event_is_text(reader: TestClient) -> None:
    bad = "<script>alert(1)</script>"
    labels = {"prefect.resource.id": f"shop.{bad}", "prefect.resource.name": bad, bad: bad}
    related = [{"prefect.resource.id": "javascript:alert(1)", "prefect.resource.role": bad}]
    emit_event(f"shop.{bad}", labels, related=related, payload={"html": bad})
    page = reader.get("/events")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert 'href="javascript' not in page.text
    assert text_of(page).count("alert(1)") >= 4


def test_pages_follow_each_other_and_keep_the_filter(reader: TestClient) -> None:
    for number in range(60):
        emit_event(f"shop.opened.{number}", ORDER)
    emit_event("bank.opened", ORDER)
    first = reader.get("/events", params={"event": "shop."})
    assert "bank.opened" not in first.text
    older = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert older
    second = reader.get(older[1].replace("&amp;", "&"))
    found = [re.findall(r"shop\.opened\.(\d+)</span>", page.text) for page in (first, second)]
    assert [int(number) for page in found for number in page] == list(range(59, -1, -1))
    assert 'rel="next"' not in second.text


@pytest.mark.parametrize(
    ("params", "is_there"),
    [
        ({"kind": "prefect.flow-run.*"}, False),
        ({"event": "shop.*"}, True),
        ({"event": "orchestrator.shop"}, False),
        ({"resource": "shop.order.7"}, True),
        ({"resource": "shop.order.*"}, True),
        ({"resource": "shop.order"}, False),
        ({"text": "rain"}, True),
        ({"text": "-rain"}, False),
        ({"last": "1h"}, True),
        ({"until": "2020-01-01T00:00"}, False),
        ({"since": "nonsense", "until": "nonsense"}, True),
    ],
)
def test_a_filter_shows_what_it_says(reader: TestClient, params: dict[str, str], is_there: bool) -> None:
    emit_event("shop.opened", ORDER, payload={"note": "rain"})
    page = reader.get("/events", params=params)
    assert page.status_code == 200
    assert ("shop.opened</span>" in page.text) is is_there
    assert is_there or "No event matches." in text_of(page)


def test_a_place_that_is_none_is_refused_with_a_sentence(reader: TestClient) -> None:
    page = reader.get("/events", params={"before": "x"})
    assert page.status_code == 400
    assert "no place among the events" in page.text


def test_a_large_payload_is_cut(reader: TestClient) -> None:
    emit_event("shop.opened", ORDER, payload={"text": "x" * 200_000})
    page = reader.get("/events")
    assert len(page.text) < LONGEST_DETAILS + 20_000
    assert "characters, cut here" in page.text


def test_the_last_hours_are_counted_from_now() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert filter_of({"last": "24h"}, now).occurred.since == now - timedelta(days=1)
    assert filter_of({"last": "24h", "since": "2025-01-01T00:00"}, now).occurred.since.year == 2025
