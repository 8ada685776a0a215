"""Automations over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app

TRIGGER = {
    "type": "event",
    "id": "8b5f1b2e-9df4-4b8b-8d11-4a4b3a4a1d11",
    "match": {},
    "match_related": {},
    "after": [],
    "expect": ["prefect.flow-run.Failed"],
    "for_each": [],
    "posture": "Reactive",
    "threshold": 1,
    "within": 0.0,
}
BODY: dict[str, Any] = {
    "name": "alerts",
    "description": "",
    "enabled": True,
    "tags": ["a"],
    "trigger": TRIGGER,
    "actions": [{"type": "cancel-flow-run"}],
    "actions_on_trigger": [],
    "actions_on_resolve": [],
    "owner_resource": None,
}


@pytest.fixture
def api(own_fleet: Fleet) -> Iterator[TestClient]:
    with TestClient(make_app(own_fleet), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as client:
        yield client


def names(api: TestClient, **body: Any) -> list[str]:
    listed = api.post("/automations/filter", json=body)
    assert listed.status_code == 200, listed.text
    return [one["name"] for one in listed.json()]


def test_an_automation_from_its_making_to_its_end(api: TestClient) -> None:
    made = api.post("/automations/", json=BODY)
    assert made.status_code == 201, made.text
    body = made.json()
    path = f"/automations/{body['id']}"
    assert (body["trigger"]["expect"], body["actions"]) == (["prefect.flow-run.Failed"], [{"type": "cancel-flow-run"}])
    assert api.get(path).json() == body
    assert api.post("/automations/", json=BODY).json()["id"] == body["id"]
    assert api.post("/automations/", json={**BODY, "description": "another"}).status_code == 409
    assert api.patch(path, json={"enabled": False}).status_code == 204
    assert api.get(path).json()["enabled"] is False
    assert api.put(path, json={**BODY, "name": "other", "trigger": {"triggers": [TRIGGER]}}).status_code == 204
    after = api.get(path).json()
    assert (after["name"], after["trigger"]["type"], after["created"]) == ("other", "sequence", body["created"])
    assert api.post(f"{path}/test").json() == 1
    (firing,) = api.post(f"{path}/firings", json={}).json()
    assert (firing["held"], [one["action"] for one in firing["deliveries"]]) == (False, ["cancel-flow-run"])
    assert api.delete(path).status_code == 204
    for method in ("GET", "DELETE", "PUT", "PATCH"):
        content = {"PUT": BODY, "PATCH": {"enabled": True}}.get(method)
        assert api.request(method, path, json=content).status_code == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trigger": {"posture": "Metric"}}, "metric triggers are not supported"),
        ({"actions": [{"type": "explode"}]}, "explode"),
        ({"actions": [{"type": "run-deployment", "deployment_id": "a/b"}]}, "Deployment 'a/b' not found"),
        (
            {"actions": [{"type": "send-notification", "block_document_id": "slack-webhook/x", "body": ""}]},
            "Block 'slack-webhook/x' not found",
        ),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(api: TestClient, change: dict[str, Any], words: str) -> None:
    answer = api.post("/automations/", json={**BODY, **change})
    assert (answer.status_code, words in answer.text) == (422, True), answer.text


def test_they_are_filtered_sorted_counted_and_deleted_with_what_they_belong_to(api: TestClient) -> None:
    for name, owner in (("c", "prefect.deployment.1"), ("a", None), ("b", "prefect.deployment.1")):
        assert api.post("/automations/", json={**BODY, "name": name, "owner_resource": owner}).status_code == 201
    assert names(api) == ["a", "b", "c"]
    assert names(api, sort="NAME_DESC", limit=2) == ["c", "b"]
    assert names(api, sort="CREATED_DESC") == ["b", "a", "c"]
    assert names(api, automations={"name": {"any_": ["a", "b"]}, "operator": "and_"}) == ["a", "b"]
    assert api.post("/automations/count", json={}).json() == 3
    assert [one["name"] for one in api.get("/automations/related-to/prefect.deployment.1").json()] == ["b", "c"]
    assert api.delete("/automations/owned-by/prefect.deployment.1").status_code == 202
    assert names(api) == ["a"]


def test_a_damaged_one_is_listed_with_its_trouble(api: TestClient, own_fleet: Fleet) -> None:
    made = api.post("/automations/", json=BODY).json()
    own_fleet.broker.documents.write("automation", made["id"], {"d": b"nonsense"})
    (one,) = api.post("/automations/filter", json={}).json()
    assert (one["trigger"], "damaged" in one["trouble"]) == (None, True)
    assert api.post(f"/automations/{made['id']}/test").status_code == 409
    assert api.delete(f"/automations/{made['id']}").status_code == 204
