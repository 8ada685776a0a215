"""Work pools, queues and workers over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.server import make_app
from orchestrator.slots import SlotsOptions
from orchestrator.slots.local_workers import LocalWorkers
from orchestrator.work_pools.base_templates import PROCESS_TEMPLATE
from orchestrator.work_pools.lookup import find_pool
from tests.support.waiting import wait_until


@pytest.fixture
def api(own_fleet: Fleet) -> Iterator[TestClient]:
    with TestClient(make_app(own_fleet), base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as client:
        yield client


def posted(api: TestClient, path: str, status: int = 200, **body: Any) -> Any:
    answer = api.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def created(api: TestClient, name: str = "mine", **body: Any) -> dict[str, Any]:
    """As Prefect's client sends it, with every field that it knows."""
    full = {"type": "process", "description": None, "base_job_template": {}, "is_paused": False,
            "concurrency_limit": None, "storage_configuration": {}, **body}  # fmt: skip
    made: dict[str, Any] = posted(api, "/work_pools/", 201, name=name, **full)
    return made


def test_a_pool_from_its_making_to_its_end(api: TestClient) -> None:
    made = created(api, description="for all", concurrency_limit=3)
    assert (made["name"], made["type"], made["status"]) == ("mine", "process", "NOT_READY")
    assert (made["description"], made["concurrency_limit"], made["active_slots"]) == ("for all", 3, 0)
    assert made["base_job_template"] == PROCESS_TEMPLATE
    assert made["created"]
    assert posted(api, "/work_pools/", 409, name="mine", type="process")["detail"]
    assert api.get("/work_pools/mine").json() == made
    own = {"job_configuration": {"env": {"A": "b"}}, "variables": {}}
    change = {"description": None, "is_paused": True, "concurrency_limit": None, "base_job_template": own}
    assert api.patch("/work_pools/mine", json=change).status_code == 204
    after = api.get("/work_pools/mine").json()
    assert (after["status"], after["is_paused"], after["description"]) == ("PAUSED", True, None)
    assert (after["concurrency_limit"], after["active_slots"], after["base_job_template"]) == (None, None, own)
    assert api.patch("/work_pools/mine", json={"is_paused": False}).status_code == 204
    assert api.get("/work_pools/mine").json()["base_job_template"] == own, "what is left out stays"
    assert api.delete("/work_pools/mine").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert api.request(method, "/work_pools/mine", json={} if method == "PATCH" else None).status_code == 404


def test_pools_are_filtered_and_counted(api: TestClient) -> None:
    ids = {name: created(api, name)["id"] for name in ("one", "two", "odd name ü")}
    listed = posted(api, "/work_pools/filter", work_pools=None, limit=None, offset=0)
    assert {one["name"] for one in listed} == set(ids)
    assert len(posted(api, "/work_pools/filter", limit=1, offset=1)) == 1
    nothing = {"operator": "and_", "id": None, "name": None, "type": None}
    for wanted in ({"name": {"any_": ["two"]}}, {"id": {"any_": [ids["two"]]}}, {"name": {"like_": "TW"}}):
        assert [one["name"] for one in posted(api, "/work_pools/filter", work_pools={**nothing, **wanted})] == ["two"]
    assert posted(api, "/work_pools/count", work_pools={"type": {"any_": ["docker"]}}) == 0
    assert posted(api, "/work_pools/count") == 3
    posted(api, "/work_pools/filter", 422, work_pools={"colour": {"any_": ["red"]}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"type": "nomad"}, "is no type of work pools; known: process, docker, kubernetes"),
        ({"base_job_template": {"variables": {}}}, "job_configuration"),
        ({"name": "x" * 201}, "name"),
        ({"name": ""}, "name"),
        ({"concurrency_limit": -1}, "concurrency_limit"),
        ({"base_job_template": {"job_configuration": {"env": {"TOKEN": "••••••"}}, "variables": {}}}, "shows instead"),
    ],
)
def test_what_is_no_pool_is_refused(api: TestClient, body: dict[str, Any], words: str) -> None:
    answer = api.post("/work_pools/", json={"name": "mine", **body})
    assert answer.status_code == 422
    assert words in answer.text
    assert api.get("/work_pools/mine").status_code == 404


def test_secrets_of_a_template_are_not_shown(api: TestClient) -> None:
    own = {"job_configuration": {"env": {"API_TOKEN": "s3cr3t"}}, "variables": {}}
    assert "s3cr3t" not in str(created(api, base_job_template=own))
    assert "s3cr3t" not in api.post("/work_pools/filter", json={}).text


def test_a_queue_from_its_making_to_its_end(api: TestClient, own_fleet: Fleet) -> None:
    pool = created(api)
    base = {"description": "", "is_paused": False, "concurrency_limit": None, "filter": None}
    made = posted(api, "/work_pools/mine/queues", 201, name="urgent", priority=None, **base)
    assert (made["name"], made["priority"], made["work_pool_name"]) == ("urgent", 2, "mine")
    assert (made["work_pool_id"], made["status"], made["last_polled"]) == (pool["id"], "NOT_READY", None)
    posted(api, "/work_pools/mine/queues", 409, name="urgent")
    posted(api, "/work_pools/mine/queues", 422, name="urgent", priority=0)
    posted(api, "/work_pools/nope/queues", 404, name="urgent")
    assert api.get("/work_pools/mine/queues/urgent").json() == made == api.get(f"/work_queues/{made['id']}").json()
    change = {"is_paused": True, "priority": 1, "concurrency_limit": 2, "description": "first of all"}
    assert api.patch("/work_pools/mine/queues/urgent", json=change).status_code == 204
    after = api.get(f"/work_queues/{made['id']}").json()
    assert {name: after[name] for name in change} == change
    assert (after["status"], after["active_slots"]) == ("PAUSED", 0)
    assert api.patch(f"/work_queues/{made['id']}", json={"is_paused": False, "name": "urgent"}).status_code == 204
    assert api.patch(f"/work_queues/{made['id']}", json={"name": "other"}).status_code == 422
    every = posted(api, "/work_pools/mine/queues/filter")
    assert [(one["name"], one["is_paused"]) for one in every] == [("default", False), ("urgent", False)]
    assert pool["default_queue_id"] == every[0]["id"]
    created(api, "other")
    assert len(posted(api, "/work_queues/filter", limit=200)) == 3
    by_name = posted(api, "/work_queues/filter", work_queues={"name": {"any_": ["urgent"]}})
    assert [one["id"] for one in by_name] == [made["id"]]
    assert api.delete("/work_pools/mine/queues/default").status_code == 409
    assert api.delete("/work_pools/mine/queues/urgent").status_code == 204
    assert api.delete("/work_pools/mine/queues/urgent").status_code == 404
    assert api.get(f"/work_queues/{made['id']}").status_code == 404
    assert [queue.name for queue in find_pool(own_fleet.broker, "mine").queues] == ["default"]


@flow
def wanted(number: int = 0) -> int:
    return number


def test_what_waits_in_a_pool_is_listed_and_its_queue_cannot_be_deleted(api: TestClient) -> None:
    created(api)
    posted(api, "/work_pools/mine/queues", 201, name="urgent")
    ids = {
        queue: wanted.to_deployment(f"in-{queue}", work_pool_name="mine", work_queue_name=queue).apply()
        for queue in ("default", "urgent")
    }
    later = datetime.now(UTC) + timedelta(hours=2)
    now = run_deployment("wanted/in-urgent", timeout=0)
    then = run_deployment("wanted/in-default", timeout=0, scheduled_time=later)

    def scheduled(**body: Any) -> list[tuple[str, str]]:
        rows = posted(api, "/work_pools/mine/get_scheduled_flow_runs", **body)
        names = {one["id"]: one["name"] for one in posted(api, "/work_pools/mine/queues/filter")}
        return [(names[row["work_queue_id"]], row["flow_run"]["id"]) for row in rows]

    wait_until(lambda: len(scheduled()) == 2, 30)
    assert scheduled() == [("urgent", str(now.id)), ("default", str(then.id))]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert scheduled(scheduled_before=soon) == [("urgent", str(now.id))]
    assert scheduled(scheduled_after=soon) == [("default", str(then.id))]
    assert scheduled(work_queue_names=["default"], limit=10) == [("default", str(then.id))]
    posted(api, "/work_pools/mine/get_scheduled_flow_runs", 404, work_queue_names=["nope"])
    assert api.get("/work_pools/mine").json()["waiting"] == 1
    refused = api.delete("/work_pools/mine/queues/urgent")
    assert (refused.status_code, "wanted/in-urgent" in refused.text) == (409, True)
    assert api.delete(f"/deployments/{ids['urgent']}").status_code == 204
    wait_until(lambda: api.delete("/work_pools/mine/queues/urgent").status_code == 204, 30)


def test_runs_that_wait_in_a_queue_keep_it(api: TestClient) -> None:
    created(api)
    posted(api, "/work_pools/mine/queues", 201, name="urgent")
    wanted.to_deployment("here", work_pool_name="mine").apply()
    run_deployment("wanted/here", timeout=0, work_queue_name="urgent")
    refused = api.delete("/work_pools/mine/queues/urgent")
    assert (refused.status_code, "1 runs wait" in refused.text) == (409, True)


def test_live_workers_of_a_pool_are_listed(api: TestClient, own_fleet: Fleet) -> None:
    created(api)
    created(api, "other")
    queues = tuple(queue.queue for queue in find_pool(own_fleet.broker, "mine").queues)
    workers = LocalWorkers(own_fleet, SlotsOptions(queues, 1, for_flow_runs=True))
    workers.start()
    try:
        wait_until(lambda: posted(api, "/work_pools/mine/workers/filter", limit=10), 30)
        (worker,) = posted(api, "/work_pools/mine/workers/filter", workers={"status": {"any_": ["ONLINE"]}})
        assert (worker["status"], worker["queues"]) == ("ONLINE", ["default"])
        assert worker["last_heartbeat_time"]
        assert posted(api, "/work_pools/mine/workers/filter", workers={"status": {"any_": ["OFFLINE"]}}) == []
        assert posted(api, "/work_pools/other/workers/filter") == []
        assert [api.get(f"/work_pools/{name}").json()["status"] for name in ("mine", "other")] == ["READY", "NOT_READY"]
        assert api.get("/work_pools/mine/queues/default").json()["last_polled"]
    finally:
        workers.stop(10)
    posted(api, "/work_pools/nope/workers/filter", 404)


def test_a_read_only_server_changes_nothing(own_fleet: Fleet, api: TestClient) -> None:
    created(api)
    app = make_app(own_fleet, read_only=True)
    with TestClient(app, base_url="http://127.0.0.1/api", client=("127.0.0.1", 5000)) as reader:
        assert reader.get("/work_pools/mine").status_code == 200
        for method, path in (
            ("POST", "/work_pools/"),
            ("PATCH", "/work_pools/mine"),
            ("DELETE", "/work_pools/mine"),
            ("POST", "/work_pools/mine/queues"),
            ("PATCH", "/work_pools/mine/queues/default"),
            ("DELETE", "/work_pools/mine/queues/default"),
        ):
            body = {"name": "x"} if method == "POST" else {}
            assert reader.request(method, path, json=body).status_code == 403, path
