"""Events over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.events import emit_event
from tests.server.pages.test_deployment_pages import open_app

ORDER = {"prefect.resource.id": "shop.order.7"}


@pytest.fixture
def api(own_fleet: Fleet) -> Iterator[TestClient]:
    with open_app(own_fleet) as client:
        client.base_url = client.base_url.join("/api/")
        yield client


def event(name: str, **facts: Any) -> dict[str, Any]:
    return {"event": name, "resource": ORDER, "occurred": "2026-01-02T03:04:05Z", "related": [], **facts}


def test_events_are_written_and_found(api: TestClient) -> None:
    written = api.post("events", json=[event("shop.opened", payload={"x": [1]}), event("shop.closed")])
    assert (written.status_code, written.content) == (204, b"")
    page = api.post("events/filter", json={"filter": {"event": {"prefix": ["shop."]}}, "limit": 50}).json()
    assert [one["event"] for one in page["events"]] == ["shop.closed", "shop.opened"]
    assert (page["total"], page["next_page"]) == (2, None)
    opened = page["events"][1]
    assert opened["payload"] == {"x": [1]}
    assert opened["occurred"] == "2026-01-02T03:04:05Z"
    assert opened["resource"] == ORDER
    assert {"id", "received", "follows", "related"} <= set(opened)


def test_pages_follow_each_other_with_the_filter_of_the_first(api: TestClient, own_fleet: Fleet) -> None:
    for number in range(5):
        emit_event(f"shop.opened.{number}", ORDER)
        emit_event("bank.opened", ORDER)
    page = api.post("events/filter", json={"filter": {"event": {"prefix": ["shop."]}}, "limit": 2}).json()
    found, totals = [one["event"] for one in page["events"]], [page["total"]]
    while page["next_page"] is not None:
        page = api.get(page["next_page"].removeprefix("/")).json()
        found += [one["event"] for one in page["events"]]
        totals.append(page["total"])
    assert found == [f"shop.opened.{number}" for number in (4, 3, 2, 1, 0)]
    assert totals == [3, 5, 5]


def test_without_a_body_all_are_listed(api: TestClient, own_fleet: Fleet) -> None:
    emit_event("shop.opened", ORDER)
    assert [one["event"] for one in api.post("events/filter").json()["events"]] == ["shop.opened"]
    assert len(api.post("events/filter", json={"filter": {"order": "ASC"}}).json()["events"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        [event("")],
        [event("a", resource={})],
        [event("a", related=[ORDER])],
        [event("a", id="none")],
        [event("a")] * 501,
        event("a"),
    ],
)
def test_what_can_be_no_event_is_refused_and_nothing_is_written(api: TestClient, body: Any) -> None:
    refused = api.post("events", json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"]
    assert api.post("events/filter").json()["events"] == []


def test_an_event_that_is_too_large_is_refused(api: TestClient) -> None:
    refused = api.post("events", json=[event("a", payload={"text": "x" * 600_000})])
    assert refused.status_code == 422
    assert "more than the 524,288" in refused.json()["detail"]


@pytest.mark.parametrize("filter", [{"nonsense": 1}, {"resource": {"distinct": True}}, {"order": "x"}])
def test_a_filter_that_is_not_known_is_refused(api: TestClient, filter: dict[str, Any]) -> None:
    assert api.post("events/filter", json={"filter": filter}).status_code == 422


@pytest.mark.parametrize("token", ["x", "e30", "eyJmaWx0ZXIiOnt9fQ", "____"])
def test_a_page_token_that_nobody_gave_is_refused(api: TestClient, token: str) -> None:
    assert api.get(f"events/filter/next?page-token={token}").status_code == 403


def test_a_server_that_refuses_actions_writes_none(own_fleet: Fleet) -> None:
    with open_app(own_fleet, read_only=True) as reader:
        assert reader.post("/api/events", json=[event("shop.opened")]).status_code == 403
        assert reader.post("/api/events/filter").json()["events"] == []
