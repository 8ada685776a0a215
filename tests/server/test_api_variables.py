"""Variables over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator import variables
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app

NOTHING = {"operator": "and_", "id": None, "name": None, "tags": None}


@pytest.fixture
def api(own_fleet: Fleet) -> Iterator[TestClient]:
    with TestClient(make_app(own_fleet), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as client:
        yield client


def names(api: TestClient, **body: Any) -> list[str]:
    listed = api.post("/variables/filter", json=body)
    assert listed.status_code == 200, listed.text
    return [one["name"] for one in listed.json()]


def test_a_variable_from_its_making_to_its_end(api: TestClient) -> None:
    made = api.post("/variables/", json={"name": "answer", "value": {"is": 42}, "tags": ["a"]})
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["name"], body["value"], body["tags"]) == ("answer", {"is": 42}, ["a"])
    assert body["created"]
    assert body["updated"]
    assert api.post("/variables/", json={"name": "answer", "value": 1}).status_code == 409
    assert api.get("/variables/name/answer").json() == body == api.get(f"/variables/{body['id']}").json()
    assert api.patch("/variables/name/answer", json={"value": None}).status_code == 204
    assert api.patch(f"/variables/{body['id']}", json={"tags": ["b"]}).status_code == 204
    after = api.get("/variables/name/answer").json()
    assert (after["value"], after["tags"], after["created"]) == (None, ["b"], body["created"])
    assert api.delete("/variables/name/answer").status_code == 204
    for method, path in (("GET", "name/answer"), ("DELETE", "name/answer"), ("PATCH", body["id"]), ("GET", "x")):
        assert api.request(method, f"/variables/{path}", json={} if method == "PATCH" else None).status_code == 404


def test_another_name_makes_it_another_one_but_never_replaces_one(api: TestClient) -> None:
    for name in ("one", "two"):
        api.post("/variables/", json={"name": name, "value": name, "tags": [name]})
    assert api.patch("/variables/name/one", json={"name": "two"}).status_code == 409
    assert api.patch("/variables/name/one", json={"name": "three"}).status_code == 204
    assert names(api) == ["three", "two"]
    assert api.get("/variables/name/three").json()["value"] == "one"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Upper", "value": 1},
        {"name": "a"},
        {"name": "a", "value": "x" * 5001},
        {"name": "a", "value": 1, "more": 2},
    ],
    ids=["name", "no value", "too long", "unknown field"],
)
def test_what_cannot_be_one_is_refused_with_its_field(api: TestClient, body: dict[str, Any]) -> None:
    refused = api.post("/variables/", json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"]
    assert names(api) == []


def test_filters_sorts_and_counts_are_those_of_the_clients(api: TestClient, own_fleet: Fleet) -> None:
    for name, tags in (("b-city", ["x"]), ("a-city", ["x", "y"]), ("c-land", [])):
        variables.write(own_fleet, name, 1, tags)
    the_id = api.get("/variables/name/c-land").json()["id"]
    assert names(api, variables=NOTHING, limit=None, sort=None) == ["a-city", "b-city", "c-land"]
    assert names(api, sort="NAME_DESC", limit=2, offset=1) == ["b-city", "a-city"]
    assert sorted(names(api, sort="UPDATED_DESC")) == sorted(names(api, sort="CREATED_DESC")) == names(api)
    for wanted, expected in (
        ({"name": {"like_": "city"}}, 2),
        ({"name": {"any_": ["c-land", "d"]}}, 1),
        ({"id": {"any_": [the_id]}}, 1),
        ({"tags": {"all_": ["x", "y"]}}, 1),
        ({"tags": {"is_null_": True}}, 1),
    ):
        assert len(names(api, variables=wanted)) == expected, wanted
        assert api.post("/variables/count", json={"variables": wanted}).json() == expected
    assert api.post("/variables/count", json={}).json() == 3
    assert api.post("/variables/filter", json={"variables": {"value": {"any_": [1]}}}).status_code == 422


def test_a_damaged_one_is_listed_and_keeps_its_value_only_if_one_is_given(api: TestClient, own_fleet: Fleet) -> None:
    bad = variables.write(own_fleet, "bad", 1)
    own_fleet.broker.documents.write(variables.KIND, bad.id, {"d": b"?"})
    assert "damaged" in api.get("/variables/name/bad").json()["trouble"]
    assert api.patch("/variables/name/bad", json={"tags": ["a"]}).status_code == 409
    assert api.patch("/variables/name/bad", json={"value": 2}).status_code == 204
    assert api.get("/variables/name/bad").json()["value"] == 2


def test_a_read_only_server_changes_none(own_fleet: Fleet) -> None:
    variables.write(own_fleet, "answer", 42)
    app = make_app(own_fleet, read_only=True)
    with TestClient(app, base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as api:
        assert api.post("/variables/", json={"name": "a", "value": 1}).status_code == 403
        assert api.delete("/variables/name/answer").status_code == 403
    assert variables.value_named(own_fleet, "answer") == 42
