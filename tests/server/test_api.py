"""The JSON API on a real fleet: lists, one run, and what is done to them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

import orchestrator
from orchestrator import flow
from orchestrator.client.fleet import Fleet
from tests.server.conftest import Site
from tests.support import signals
from tests.support.apps import basics as app
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def api(site: Site) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


@pytest.fixture
def tag() -> str:
    return f"tag-{secrets.token_hex(4)}"


def with_tag(tag: str, **more: Any) -> dict[str, Any]:
    return {"task_runs": {"tags": {"all_": [tag]}, **more}}


def settled(api: httpx.Client, tag: str, count: int, type_: str) -> list[dict[str, Any]]:
    """Those runs, once the API tells that so many stand so."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = api.post("/api/task_runs/filter", json=with_tag(tag, state={"type": {"any_": [type_]}})).json()
        return len(found) == count

    wait_until(there, 20, f"{count} runs are {type_}")
    return found


def test_a_list_has_pages_counts_and_prefects_names(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        ids = [str(future.task_run_id) for future in app.add.map(range(5), y=1)]
    settled(api, tag, 5, "COMPLETED")
    first = api.post("/api/task_runs/filter", json={**with_tag(tag), "limit": 2})
    assert [run["id"] for run in first.json()] == ids[:2:-1]
    assert first.headers["x-total-count"] == "5"
    rest = api.post(
        "/api/task_runs/filter", json={**with_tag(tag), "limit": 9, "before": first.headers["x-next-cursor"]}
    )
    assert [run["id"] for run in rest.json()] == ids[2::-1]
    assert "x-next-cursor" not in rest.headers
    run = rest.json()[0]
    assert run["task_key"].endswith(".add")
    assert (run["name"], run["task_name"]) == (f"add-{run['id'][-3:]}", "add")
    assert run["next_scheduled_start_time"] is None
    assert (run["state_type"], run["state"]["type"], run["state_name"]) == ("COMPLETED", "COMPLETED", "Completed")
    assert run["tags"] == [tag]
    assert run["run_count"] == 1
    assert api.post("/api/task_runs/count", json=with_tag(tag)).json() == 5


def test_a_run_is_told_whole_and_without_its_secrets(api: httpx.Client) -> None:
    future = app.echo.submit({"user": "ann", "api_token": "abc123"})
    future.wait(20)
    told = api.get(f"/api/task_runs/{future.task_run_id}")
    assert "abc123" not in told.text
    run = told.json()
    assert "ann" in run["parameters"]["value"]
    assert "ann" in run["result"]
    assert run["actions"] == ["retry", "delete"]
    assert [event["type"] for event in run["history"]][-1] == "COMPLETED"


def test_other_names_are_redacted_when_they_are_told(fleet: Fleet, open_site: Callable[..., Site]) -> None:
    future = app.echo.submit({"iban": "DE12", "token": "not-a-secret-here"})
    future.wait(20)
    site = open_site()
    with site.client() as client:
        assert "DE12" in client.get(f"/api/task_runs/{future.task_run_id}").text
        site.queries.context.redaction = orchestrator.inspection.Redaction(["iban"])
        told = client.get(f"/api/task_runs/{future.task_run_id}").text
    assert "DE12" not in told
    assert "not-a-secret-here" in told


def test_a_failed_run_is_retried_and_a_finished_one_is_not_cancelled(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        run_id = str(app.fail.submit("once more").task_run_id)
    ended = settled(api, tag, 1, "FAILED")[0]["end_time"]
    assert "once more" in api.get(f"/api/task_runs/{run_id}").json()["error"]
    refused = api.post(f"/api/task_runs/{run_id}/set_state", json={"state": {"type": "CANCELLED"}})
    assert refused.status_code == 409
    assert "ended" in refused.json()["detail"]
    retried = api.post(f"/api/task_runs/{run_id}/set_state", json={"state": {"type": "SCHEDULED"}})
    assert (retried.status_code, retried.json()["status"]) == (200, "ACCEPT")
    wait_until(lambda: api.get(f"/api/task_runs/{run_id}").json()["end_time"] not in (None, ended), 20)
    refused = api.post(f"/api/task_runs/{run_id}/set_state", json={"state": {"type": "COMPLETED"}})
    assert refused.status_code == 409
    assert "only workers" in refused.json()["detail"]


def test_a_running_run_is_cancelled_and_then_deleted(api: httpx.Client, tag: str, tmp_path: Any) -> None:
    entered = str(tmp_path / "entered")
    with orchestrator.tags(tag):
        run_id = str(app.hold.submit(entered, str(tmp_path / "never")).task_run_id)
    wait_until(lambda: signals.count(entered), 20)
    assert api.delete(f"/api/task_runs/{run_id}").status_code == 409
    assert api.post(f"/api/task_runs/{run_id}/set_state", json={"state": {"type": "CANCELLED"}}).status_code == 200
    settled(api, tag, 1, "CANCELLED")
    assert api.delete(f"/api/task_runs/{run_id}").json() == {"asked": 1, "done": 1}
    assert api.get(f"/api/task_runs/{run_id}").status_code == 404
    wait_until(lambda: api.post("/api/task_runs/count", json=with_tag(tag)).json() == 0)


def test_all_that_match_are_retried_but_not_what_came_later(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        before = [str(app.fail.submit(f"no {n}").task_run_id) for n in range(4)]
        app.add.submit(1).wait(20)
    settled(api, tag, 4, "FAILED")
    page = api.post("/api/task_runs/filter", json=with_tag(tag, state={"name": {"any_": ["Failed"]}}))
    with orchestrator.tags(tag):
        later = str(app.fail.submit("later").task_run_id)
    ends = {run["id"]: run["end_time"] for run in settled(api, tag, 5, "FAILED")}
    failed = with_tag(tag, state={"type": {"any_": ["FAILED"]}})
    done = api.post("/api/task_runs/bulk_retry", json={**failed, "as_of": page.headers["x-as-of"]})
    assert done.json() == {"asked": 4, "done": 4}

    def again() -> set[str]:
        return {run["id"] for run in settled(api, tag, 5, "FAILED") if run["end_time"] != ends[run["id"]]}

    wait_until(lambda: again() == set(before), 20)
    assert later not in again()
    gone = api.post("/api/task_runs/bulk_delete", json=with_tag(tag))
    assert gone.json() == {"asked": 6, "done": 6}


def test_everything_is_meant_only_when_it_is_said(api: httpx.Client) -> None:
    for what in ("cancel", "retry", "delete"):
        refused = api.post(f"/api/task_runs/bulk_{what}", json={})
        assert refused.status_code == 422
        assert "every run" in refused.json()["detail"]
    assert api.post("/api/task_runs/bulk_cancel", json={"ids": []}).json() == {"asked": 0, "done": 0}


def test_a_call_that_waits_for_its_moment_is_run_now(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        one, other = (app.add.apply_async((n,), {"y": 1}, countdown=7200) for n in (1, 2))
    told = api.get(f"/api/task_runs/{one.task_run_id}").json()
    assert told["actions"] == ["run-now", "cancel"]
    assert told["next_scheduled_start_time"] is not None
    asked = api.post(f"/api/task_runs/{one.task_run_id}/set_state", json={"state": {"type": "SCHEDULED"}})
    assert asked.json()["status"] == "ACCEPT"
    assert one.result(timeout=60) == 2
    assert api.post("/api/task_runs/bulk_run_now", json={"ids": [str(other.task_run_id)]}).json() == {
        "asked": 1,
        "done": 1,
    }
    assert other.result(timeout=60) == 3


def test_runs_are_found_by_what_stands_in_their_arguments_but_not_by_secrets(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        wanted = app.echo.submit({"customer": "Ann of Example Street", "api_token": "tok-1234"})
        app.echo.submit({"customer": "Bob"})
    settled(api, tag, 2, "COMPLETED")
    for text, found in (("example STREET", [str(wanted.task_run_id)]), ("tok-1234", []), ("nobody", [])):
        page = api.post("/api/task_runs/filter", json=with_tag(tag, argument=text))
        assert [run["id"] for run in page.json()] == found, text
        assert api.post("/api/task_runs/count", json=with_tag(tag, argument=text)).json() == len(found)
    done = api.post("/api/task_runs/bulk_delete", json=with_tag(tag, argument="bob"))
    assert done.json() == {"asked": 1, "done": 1}
    wait_until(
        lambda: api.post("/api/task_runs/count", json=with_tag(tag)).json() == 1
    )  # the index follows the records


def test_the_longest_runs_come_first_when_they_are_asked_for(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        app.echo.map(range(5))
    settled(api, tag, 5, "COMPLETED")
    seen: list[float] = []
    before: dict[str, str] = {}
    while True:
        page = api.post("/api/task_runs/filter", json={**with_tag(tag), "sort": "DURATION_DESC", "limit": 2, **before})
        seen += [run["total_run_time"] for run in page.json()]
        if "x-next-cursor" not in page.headers:
            break
        before = {"before": page.headers["x-next-cursor"]}
    assert len(seen) == 5
    assert all(later <= earlier + 2e-6 for earlier, later in pairwise(seen))  # moments are told in microseconds
    other_order = api.post("/api/task_runs/filter", json={"before": "1.2.3"})
    assert (other_order.status_code, "not a cursor" in other_order.text) == (422, True)


def test_names_that_tasks_and_runs_were_given_are_told_and_found(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        app.weigh.submit("gold")
    settled(api, tag, 1, "COMPLETED")
    for found in ({"name": {"any_": ["weighing"]}}, {"text": "weigh gold"}, {"text": "weighing"}):
        (run,) = api.post("/api/task_runs/filter", json=with_tag(tag, **found)).json()
        assert (run["name"], run["task_name"]) == ("weigh gold", "weighing")
    assert "weighing" in [task["name"] for task in api.get("/api/tasks").json()]


def test_scheduled_calls_are_listed_by_time_and_cancelled(api: httpx.Client, tag: str) -> None:
    with orchestrator.tags(tag):
        late = app.add.apply_async((1,), {"y": 1}, countdown=7200)
        soon = app.add.apply_async((1,), {"y": 1}, countdown=3600)
    wanted = [str(soon.task_run_id), str(late.task_run_id)]
    listed = [run["id"] for run in api.get("/api/scheduled", params={"limit": 200}).json()]
    assert [run_id for run_id in listed if run_id in wanted] == wanted
    page = api.get("/api/scheduled", params={"limit": 1})
    assert page.headers["x-next-cursor"] == "1"
    assert api.post("/api/task_runs/bulk_cancel", json={"ids": wanted}).json()["done"] == 2
    assert not set(wanted) & {run["id"] for run in api.get("/api/scheduled").json()}


def test_a_flow_run_has_its_tasks_a_map_is_one_row_and_edges_are_known(api: httpx.Client) -> None:
    @flow
    def nightly() -> int:
        numbers = app.add.map(range(30), y=1)
        whole = app.total.submit(*numbers[:5])
        orchestrator.get_run_logger().info("nearly there")
        return whole.result(timeout=60)

    state = nightly(return_state=True)
    flow_run_id = str(state.flow_run_id)
    found: dict[str, Any] = {}

    def there() -> bool:
        found.update(api.get(f"/api/flow_runs/{flow_run_id}").json())
        return found.get("state_type") == "COMPLETED" and found["task_run_counts"] == {"COMPLETED": 31}

    wait_until(there, 20)
    assert [(group["task_key"].rpartition(".")[2], group["count"]) for group in found["tasks"]] == [
        ("add", 30),
        ("total", 1),
    ]
    assert found["tasks"][1]["after"] == [found["tasks"][0]["task_key"]]
    assert found["flow_name"] == "nightly"
    assert len(api.get(f"/api/flow_runs/{flow_run_id}/timeline").json()) == 31
    listed = api.post("/api/flow_runs/filter", json={"flows": {"name": {"any_": ["nightly"]}}}).json()
    assert [run["id"] for run in listed] == [flow_run_id]
    of_flow = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    assert api.post("/api/task_runs/count", json=of_flow).json() == 31
    orchestrator.client.fleet.current_fleet().logs.flush()
    lines = api.post("/api/logs/filter", json={"logs": {"flow_run_id": {"any_": [flow_run_id]}, "level": {"ge_": 20}}})
    assert [line["message"] for line in lines.json()] == ["nearly there"]
    assert api.get("/api/flow_runs/nothing").status_code == 404


def test_queues_and_workers_are_steered(api: httpx.Client, fleet: Fleet) -> None:
    assert api.get("/api/queues").json()[0]["name"] == "default"
    name = "side-queue"
    waiting = [str(app.add.apply_async((n,), {}, queue=name).task_run_id) for n in range(3)]
    assert api.post(f"/api/queues/{name}/pause").status_code == 200
    (queue,) = [queue for queue in api.get("/api/queues").json() if queue["name"] == name]
    assert (queue["paused"], queue["waiting"]) == (True, 3)
    assert api.post(f"/api/queues/{name}/resume").status_code == 200
    assert api.post(f"/api/queues/{name}/purge").json() == {"name": name, "purged": 3}
    told = api.post("/api/task_runs/filter", json={"task_runs": {"id": {"any_": waiting}}}).json()
    assert {run["state_type"] for run in told} == {"CANCELLED"}
    assert len(api.get("/api/workers").json()) == 1
    assert api.post("/api/workers/nobody/stop").status_code == 404


def test_the_figures_of_the_start_page(api: httpx.Client) -> None:
    app.add.submit(1).wait(20)
    wait_until(lambda: api.get("/api/overview").json()["task_runs"].get("COMPLETED"), 20)
    overview = api.get("/api/overview").json()
    assert overview["workers"] == 1
    assert overview["queues"] >= 1
    wait_until(lambda: sum(bucket["completed"] for bucket in api.get("/api/chart").json()) >= 1)
    health = api.get("/api/health").json()
    assert health["reachable"]
    assert health["index"]["complete"]
    assert health["used_memory_bytes"] > 0
    assert any("appendonly" in warning for warning in health["warnings"])
    assert api.get("/api/version").json()["version"] == orchestrator.__version__


def test_settings_are_shown_without_secrets(api: httpx.Client) -> None:
    told = api.get("/api/settings")
    assert "a key of the tests" not in told.text
    assert {"name": "lease_seconds", "variable": "ORCHESTRATOR_LEASE_SECONDS"}.items() <= next(
        row.items() for row in told.json() if row["name"] == "lease_seconds"
    )


def test_a_read_only_server_shows_and_does_nothing(open_site: Callable[..., Site], fleet: Fleet) -> None:
    future = app.add.submit(1)
    future.wait(20)
    with open_site(read_only=True).client() as client:
        assert client.get(f"/api/task_runs/{future.task_run_id}").status_code == 200
        assert client.post("/api/task_runs/filter", json={}).status_code == 200
        for method, path, body in (
            ("DELETE", f"/api/task_runs/{future.task_run_id}", None),
            ("POST", f"/api/task_runs/{future.task_run_id}/set_state", {"state": {"type": "SCHEDULED"}}),
            ("POST", "/api/task_runs/bulk_delete", {"all": True}),
            ("POST", "/api/queues/default/purge", None),
            ("POST", "/api/queues/default/pause", None),
            ("POST", "/api/workers/x/stop", None),
            ("POST", "/api/dead/purge", {}),
        ):
            refused = client.request(method, path, json=body)
            assert (refused.status_code, "read-only" in refused.text) == (403, True), path
        assert client.get("/api/version").json()["read_only"]
    assert future.state.is_completed()
