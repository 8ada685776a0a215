"""Artifacts over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from orchestrator import artifacts
from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.server import make_app

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
GONE = "0191d5e0-0000-7000-8000-000000000000"
NOTHING = {"operator": "and_", "id": None, "key": None, "flow_run_id": None, "task_run_id": None, "type": None}


@pytest.fixture
def api(own_fleet: Fleet) -> Iterator[TestClient]:
    before = use_fleet(own_fleet)
    with TestClient(make_app(own_fleet), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as client:
        yield client
    use_fleet(before)


def made(api: TestClient, **body: Any) -> dict[str, Any]:
    answer = api.post("/artifacts/", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(api: TestClient, path: str = "filter", **body: Any) -> list[str]:
    listed = api.post(f"/artifacts/{path}", json=body)
    assert listed.status_code == 200, listed.text
    return [one["latest_id" if "latest" in path else "id"] for one in listed.json()]


def test_an_artifact_from_its_making_to_its_end(api: TestClient) -> None:
    run = str(uuid4())
    body = made(
        api, key="report", type="markdown", data="# A", description="d", metadata_={"by": "me"}, flow_run_id=run
    )
    assert (body["data"], body["metadata_"], body["flow_run_id"], body["task_run_id"]) == (
        "# A",
        {"by": "me"},
        run,
        None,
    )
    path = f"/artifacts/{body['id']}"
    assert api.get(path).json() == body == api.get("/artifacts/report/latest").json()
    assert api.patch(path, json={"data": "# B"}).status_code == 204
    assert api.patch(path, json={"description": None, "metadata_": {"by": "you"}}).status_code == 204
    after = api.get(path).json()
    assert (after["data"], after["description"], after["metadata_"]) == ("# B", None, {"by": "you"})
    assert after["updated"] >= body["updated"]
    assert api.delete(path).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert api.request(method, path, json={} if method == "PATCH" else None).status_code == 404
    assert api.get("/artifacts/report/latest").status_code == 404
    assert api.get("/artifacts/no-id").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"key": "Upper"},
        {"key": ""},
        {"type": ""},
        {"type": "markdown", "more": 1},
        {"type": "markdown", "flow_run_id": "no id"},
        {"type": "table", "data": {"a": [1], "b": []}},
        {"type": "image", "data": "data:image/svg+xml,<svg>"},
    ],
    ids=["key", "empty key", "type", "unknown field", "run", "uneven table", "svg"],
)
def test_what_cannot_be_one_is_refused_with_its_field(api: TestClient, body: dict[str, Any]) -> None:
    refused = api.post("/artifacts/", json=body)
    assert refused.status_code == 422
    assert refused.json()["detail"]
    assert ids(api) == []


def test_filters_sorts_and_counts_are_those_of_the_clients(api: TestClient) -> None:
    flow_run, task_run = str(uuid4()), str(uuid4())
    old, table, new, plain = (
        made(api, **fields)["id"]
        for fields in (
            {"key": "b-report", "type": "markdown", "data": "1", "flow_run_id": flow_run},
            {"key": "a-table", "type": "table", "data": [[1]], "task_run_id": task_run},
            {"key": "b-report", "type": "markdown", "data": "2"},
            {"type": "progress", "data": 5.0, "flow_run_id": flow_run},
        )
    )
    assert ids(api, artifacts=NOTHING, limit=None, sort=None) == [plain, new, table, old]
    assert ids(api, sort="CREATED_DESC", limit=5, artifacts={"key": {"exists_": True}}) == [new, table, old]
    assert ids(api, sort="KEY_ASC", artifacts={"key": {"exists_": True}}) == [table, new, old]
    assert ids(api, limit=1, offset=1) == [new]
    for wanted, expected in (
        ({"key": {"any_": ["b-report"]}}, [new, old]),
        ({"key": {"like_": "REPORT"}}, [new, old]),
        ({"key": {"exists_": False}}, [plain]),
        ({"id": {"any_": [table.upper(), GONE]}}, [table]),
        ({"flow_run_id": {"any_": [flow_run]}}, [plain, old]),
        ({"task_run_id": {"any_": [task_run]}}, [table]),
        ({"type": {"any_": ["table", "progress"]}}, [plain, table]),
        ({"type": {"not_any_": ["markdown"]}}, [plain, table]),
        ({"type": {"any_": []}}, []),
    ):
        assert ids(api, artifacts=wanted) == expected, wanted
        assert api.post("/artifacts/count", json={"artifacts": wanted}).json() == len(expected)
    assert ids(api, flow_runs={"id": {"any_": [flow_run]}}, artifacts={"key": {"exists_": True}}) == [old]
    assert ids(api, "latest/filter") == [new, table]
    assert ids(api, "latest/filter", sort="KEY_ASC", artifacts={"latest_id": None}) == [table, new]
    assert ids(api, "latest/filter", artifacts={"type": {"any_": ["table"]}}) == [table]
    assert ids(api, "latest/filter", artifacts={"flow_run_id": {"any_": [flow_run]}}) == []
    assert ids(api, "latest/filter", artifacts={"latest_id": {"any_": [old, new]}}) == [new]
    assert api.post("/artifacts/latest/count", json={}).json() == 2
    assert api.post("/artifacts/count", json={}).json() == 4
    for unknown in ({"artifacts": {"size": {"any_": [1]}}}, {"flow_runs": {"name": {"any_": ["x"]}}}, {"sort": "X"}):
        assert api.post("/artifacts/filter", json=unknown).status_code == 422


def test_a_collection_is_a_key_with_its_newest_version(api: TestClient) -> None:
    made(api, key="report", type="markdown", data="1")
    new = made(api, key="report", type="markdown", data="2")
    (found,) = api.post("/artifacts/latest/filter", json={}).json()
    assert found["id"] != found["latest_id"] == new["id"]
    assert (found["key"], found["data"]) == ("report", "2")
    assert api.post("/artifacts/latest/filter", json={}).json() == [found]


@pytest.mark.parametrize("data", [[{"a": 1}], '[{"a": 1}]', {"a": [1]}, '[["x"]]'])
def test_a_table_becomes_rows_in_whichever_form_it_comes(api: TestClient, data: Any) -> None:
    body = made(api, type="table", data=data)
    assert json.loads(body["data"]) == (json.loads(data) if isinstance(data, str) else data)
    assert api.get(f"/artifacts/{body['id']}/rows").json()["total"] == 1
    assert api.patch(f"/artifacts/{body['id']}", json={"data": []}).status_code == 409
    assert api.patch(f"/artifacts/{body['id']}", json={"description": "d"}).status_code == 204


@pytest.mark.parametrize("data", ["no JSON", 7, None, "[" * 100_000])
def test_what_a_client_calls_a_table_and_is_none_is_kept_as_it_is(api: TestClient, data: Any) -> None:
    body = made(api, type="table", data=data)
    assert body["data"] == data
    assert api.get(f"/artifacts/{body['id']}/rows").status_code == 404


def test_rows_come_in_pages_sorted_and_filtered(api: TestClient) -> None:
    table = artifacts.create_table_artifact([{"n": n, "name": f"Name {n % 3}"} for n in range(10_001)], key="t")

    def rows(**query: Any) -> Any:
        answer = api.get(f"/artifacts/{table}/rows", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    page = rows(offset=5000, limit=2)
    assert page == {
        "columns": ["n", "name"],
        "rows": [[5000, "Name 2"], [5001, "Name 0"]],
        "total": 10_001,
        "places": [5000, 5001],
    }
    assert rows(sort="n", descending="true", limit=1)["rows"] == [[10_000, "Name 1"]]
    assert rows(filter="name 2", limit=1)["total"] == 3333
    assert rows(filter="77", column="name")["total"] == 0
    assert len(rows()["rows"]) == 100
    for wrong in ({"sort": "gone"}, {"limit": 1001}, {"offset": -1}, {"more": 1}):
        assert api.get(f"/artifacts/{table}/rows", params=wrong).status_code == 422
    whole = api.get(f"/artifacts/{table}").json()
    assert (whole["data"], whole["metadata_"]["rows"]) == (None, "10001")
    assert "/rows has pages" in whole["metadata_"]["data"]


def test_a_list_does_not_carry_more_data_than_it_should(api: TestClient) -> None:
    large = [artifacts.create_markdown_artifact("x" * 3_000_000) for _ in range(3)]
    listed = api.post("/artifacts/filter", json={}).json()
    assert [one["id"] for one in listed] == [str(one) for one in reversed(large)]
    assert [one["data"] is not None for one in listed] == [True, True, False]
    assert "GET /api/artifacts/" in listed[2]["metadata_"]["data"]


def test_a_picture_is_served_as_what_it_is_and_nothing_else(api: TestClient) -> None:
    url = "data:text/html;base64," + base64.b64encode(PNG).decode()
    body = made(api, type="image", data=url)
    assert body["data"] is None
    served = api.get(f"/artifacts/{body['id']}/image")
    assert (served.status_code, served.content) == (200, PNG)
    assert served.headers["content-type"] == "image/png"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in served.headers["content-security-policy"]
    elsewhere = made(api, type="image", data="https://example.com/a.png")
    assert elsewhere["data"] == "https://example.com/a.png"
    for artifact_id in (elsewhere["id"], GONE, str(made(api, type="image", data="/etc/passwd")["id"])):
        assert api.get(f"/artifacts/{artifact_id}/image").status_code == 404


def test_damaged_parts_break_no_list(api: TestClient, own_fleet: Fleet) -> None:
    good = made(api, type="markdown", data="a", key="good")["id"]
    table = made(api, type="table", data=[[1]], key="bad")["id"]
    own_fleet.broker.artifacts.change({table: {"d": b"\x02?", "x": b"?"}})
    own_fleet.broker.artifacts.put_chunks(table, 0, [b"?"])
    assert ids(api) == [table, good]
    assert "cannot be read" in api.get(f"/artifacts/{table}").json()["metadata_"]["trouble"]
    assert api.get(f"/artifacts/{table}/rows").status_code == 409


def test_a_read_only_server_changes_none(own_fleet: Fleet, api: TestClient) -> None:
    artifact_id: UUID = artifacts.create_markdown_artifact("a", key="k")
    app = make_app(own_fleet, read_only=True)
    with TestClient(app, base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as read_only:
        assert read_only.post("/artifacts/", json={"type": "markdown"}).status_code == 403
        assert read_only.patch(f"/artifacts/{artifact_id}", json={"data": "b"}).status_code == 403
        assert read_only.delete(f"/artifacts/{artifact_id}").status_code == 403
        assert read_only.get(f"/artifacts/{artifact_id}").json()["data"] == "a"
