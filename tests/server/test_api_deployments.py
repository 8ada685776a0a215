"""Deployments, their schedules and runs, flows and limits over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import set_deployment_limit
from orchestrator.server import make_app
from tests.server.conftest import Site, caught_up
from tests.support.apps import deployed_flows

BEARER = {"Authorization": "Bearer s3cret-of-the-tests"}
NOTHING = {"operator": "and_", "id": None, "name": None, "tags": None, "something_of_later": None}


@pytest.fixture
def site(own_fleet: Fleet) -> Iterator[Site]:
    """The app of a fleet in which ``tracker/nightly`` was written; it wants a token."""
    deployed_flows.tracker.to_deployment(
        "nightly", cron="0 9 * * *", timezone="Europe/Oslo", parameters={"city": "Oslo"}, tags=["etl"], version="7"
    ).apply()
    served = Site(make_app(own_fleet, token="s3cret-of-the-tests"))
    yield served
    served.close()


@pytest.fixture
def api(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{site.url}/api", headers=BEARER, timeout=30) as client:
        yield client


def nightly(api: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/deployments/name/tracker/nightly").json()
    return found


def test_the_examples_of_the_reference_answer_a_bearer_of_the_token(site: Site, api: httpx.Client) -> None:
    made = api.post(f"/deployments/{nightly(api)['id']}/create_flow_run", json={"parameters": {"city": "Rome"}})
    assert made.status_code == 201, made.text
    assert made.json()["state_type"] == "SCHEDULED"
    assert made.json()["deployment_name"] == "tracker/nightly"
    caught_up(site.queries.index)
    for path in ("flows", "flow_runs", "task_runs", "deployments"):
        listed = api.post(f"/{path}/filter", json={"limit": 5})
        assert listed.status_code == 200, (path, listed.text)
    assert [run["id"] for run in api.post("/flow_runs/filter", json={}).json()] == [made.json()["id"]]
    logs = api.post("/logs/filter", json={"logs": {"flow_run_id": {"any_": [made.json()["id"]]}}, "limit": None})
    assert (logs.status_code, logs.json()) == (200, [])
    assert httpx.post(f"{site.url}/api/deployments/filter", json={}).status_code == 401


def test_what_clients_send_as_a_matter_of_course_is_taken_and_an_unknown_filter_is_not(api: httpx.Client) -> None:
    nothing = dict.fromkeys(("flows", "task_runs", "work_pools", "work_pool_queues", "sort", "limit"))
    body = {**nothing, "flow_runs": NOTHING, "deployments": {**NOTHING, "paused": {"eq_": False}}, "offset": 0}
    assert api.post("/flow_runs/filter", json=body).status_code == 200
    for path, key in (("flow_runs", "flow_runs"), ("deployments", "deployments"), ("flows", "flows")):
        refused = api.post(f"/{path}/filter", json={key: {"something_of_later": {"any_": ["x"]}}})
        assert refused.status_code == 422, path
    assert api.post("/deployments/filter", json={"limit": 201}).status_code == 422


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"name": {"like_": "NIGHT"}}, True),
        ({"name": {"any_": ["weekly"]}}, False),
        ({"tags": {"all_": ["etl"]}}, True),
        ({"tags": {"all_": ["etl", "other"]}}, False),
        ({"paused": {"eq_": True}}, False),
        ({"flow_or_deployment_name": {"like_": "track"}}, True),
    ],
)
def test_deployments_are_found_by_the_filters_of_prefect(api: httpx.Client, wanted: dict[str, Any], fits: bool) -> None:
    found = api.post("/deployments/filter", json={"deployments": wanted, "sort": "NAME_ASC"}).json()
    assert [one["name"] for one in found] == (["nightly"] if fits else [])
    assert api.post("/deployments/count", json={"deployments": wanted}).json() == int(fits)


def test_a_deployment_is_shown_whole(api: httpx.Client) -> None:
    shown = nightly(api)
    (schedule,) = shown["schedules"]
    assert schedule["schedule"] == {"cron": "0 9 * * *", "timezone": "Europe/Oslo", "day_or": True}
    assert [tick[11:19] for tick in schedule["next_ticks"]] == ["09:00:00"] * 5
    assert (shown["status"], shown["paused"], shown["version"], shown["tags"]) == ("NOT_READY", False, "7", ["etl"])
    assert shown["parameters"] == {"city": "Oslo"}
    assert list(shown["parameter_openapi_schema"]["properties"]) == ["city", "days"]
    assert api.get(f"/deployments/{shown['id']}").json() == shown
    assert api.get("/deployments/nobody").status_code == 404
    page = api.post("/deployments/paginate", json={"limit": 1}).json()
    assert (page["count"], page["pages"], [one["id"] for one in page["results"]]) == (1, 1, [shown["id"]])


def test_a_deployment_is_made_changed_paused_and_deleted(api: httpx.Client) -> None:
    flow = api.post("/flows/", json={"name": "import"})
    assert flow.status_code == 201
    assert api.post("/flows/", json={"name": "import"}).status_code == 200
    body = {
        "name": "hourly", "flow_id": flow.json()["id"], "entrypoint": "flows.py:import_all", "tags": ["a"],
        "schedules": [{"schedule": {"interval": 3600.0}, "active": True}], "labels": {}, "pull_steps": None,
    }  # fmt: skip
    made = api.post("/deployments/", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["schedules"][0]["schedule"]["interval"] == 3600.0
    again = api.post("/deployments/", json={**body, "tags": ["b"]})
    assert (again.status_code, again.json()["id"], again.json()["tags"]) == (200, made.json()["id"], ["b"])
    path = f"/deployments/{made.json()['id']}"
    assert api.patch(path, json={"description": "each hour", "concurrency_limit": 2}).status_code == 204
    assert api.post(f"{path}/pause_deployment").status_code == 204
    shown = api.get(path).json()
    assert (shown["description"], shown["concurrency_limit"], shown["paused"]) == ("each hour", 2, True)
    assert shown["next_tick"] is None
    assert api.post(f"{path}/resume_deployment").status_code == 204
    assert api.get(path).json()["next_tick"] is not None
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 404
    assert api.post("/deployments/", json={**body, "flow_id": "nobody"}).status_code == 404
    assert api.post("/deployments/", json={**body, "name": "a/b"}).status_code == 422


def test_parameters_that_do_not_fit_are_a_conflict(api: httpx.Client) -> None:
    path = f"/deployments/{nightly(api)['id']}"
    refused = api.post(f"{path}/create_flow_run", json={"parameters": {"days": "many"}})
    assert refused.status_code == 409
    assert "'days'" in refused.json()["detail"]
    bulk = api.post(f"{path}/create_flow_run/bulk", json=[{"name": "one"}, {"parameters": {"nobody": 1}}]).json()
    assert [one["status"] for one in bulk["results"]] == ["CREATED", "FAILED"]
    assert api.patch(path, json={"parameters": {"nobody": 1}}).status_code == 409


def test_schedules_of_a_deployment_are_added_changed_and_taken_away(api: httpx.Client) -> None:
    path = f"/deployments/{nightly(api)['id']}/schedules"
    added = api.post(
        path, json=[{"schedule": {"rrule": "FREQ=DAILY"}, "slug": "daily", "parameters": {"city": "Rome"}}]
    )
    assert added.status_code == 201, added.text
    one = f"{path}/{added.json()[0]['id']}"
    assert api.patch(one, json={"active": False}).status_code == 204
    shown = next(found for found in api.get(path).json() if found["slug"] == "daily")
    assert (shown["status"], shown["parameters"]) == ("PAUSED", {"city": "Rome"})
    assert api.patch(one, json={"schedule": {"cron": "0 3 * * *"}, "active": True}).status_code == 204
    shown = next(found for found in api.get(path).json() if found["slug"] == "daily")
    assert (shown["status"], shown["schedule"]["cron"]) == ("ACTIVE", "0 3 * * *")
    assert shown["parameters"] == {"city": "Rome"}
    assert api.post(path, json=[{"schedule": {"cron": "0 0 31 2 *"}}]).status_code == 422
    assert api.post(path, json=[{"schedule": {"cron": "@daily"}, "parameters": {"nobody": 1}}]).status_code == 409
    assert api.delete(one).status_code == 204
    assert api.delete(one).status_code == 404


def test_runs_to_come_have_the_ids_that_they_will_have_and_a_tick_is_skipped(api: httpx.Client) -> None:
    deployment = nightly(api)
    body = {"deployment_ids": [deployment["id"]], "limit": 3}
    coming = api.post("/deployments/get_scheduled_flow_runs", json=body).json()
    assert [run["expected_start_time"] for run in coming] == sorted(run["expected_start_time"] for run in coming)
    schedule = deployment["schedules"][0]
    path = f"/schedules/{schedule['id']}"
    assert api.post(f"{path}/skip", json={"tick": schedule["next_ticks"][0]}).status_code == 204
    assert api.post(f"{path}/skip", json={"tick": "2031-01-01T00:00:01Z"}).status_code == 409
    left = api.post("/deployments/get_scheduled_flow_runs", json=body).json()
    assert left[:2] == coming[1:]
    assert [found["id"] for found in api.get("/schedules").json()] == [schedule["id"]]


def test_a_schedule_is_triggered_and_its_past_is_made_up_for(site: Site, api: httpx.Client) -> None:
    path = f"/schedules/{nightly(api)['schedules'][0]['id']}"
    triggered = api.post(f"{path}/trigger")
    assert triggered.status_code == 201, triggered.text
    end = datetime.now(UTC)
    body = {"start": (end - timedelta(days=3)).isoformat(), "end": end.isoformat()}
    assert len(api.post(f"{path}/backfill", json=body).json()["flow_run_ids"]) == 3
    assert api.post(f"{path}/backfill", json=body).json()["flow_run_ids"] == []
    caught_up(site.queries.index)
    runs = api.post("/flow_runs/filter", json={"deployments": {"name": {"any_": ["nightly"]}}}).json()
    assert len(runs) == 4
    assert {run["auto_scheduled"] for run in runs} == {True}
    assert api.post("/schedules/nobody/trigger").status_code == 404


def test_flow_runs_are_found_sorted_and_counted(site: Site, api: httpx.Client) -> None:
    path = f"/deployments/{nightly(api)['id']}/create_flow_run"
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": later, "pause_reschedule": False}}
    ids = [
        api.post(path, json={"name": name, "tags": [name], **more}).json()["id"]
        for name, more in (("beta", {"state": state}), ("alpha", {}))
    ]
    caught_up(site.queries.index)

    def found(**body: Any) -> list[str]:
        answer = api.post("/flow_runs/filter", json=body)
        assert answer.status_code == 200, answer.text
        return [run["name"] for run in answer.json()]

    assert found() == ["alpha", "beta"]
    assert found(sort="NAME_DESC") == ["beta", "alpha"]
    assert found(sort="EXPECTED_START_TIME_DESC", limit=1) == ["beta"]
    assert found(offset=1) == ["beta"]
    assert found(flow_runs={"tags": {"all_": ["alpha", "etl"]}}) == ["alpha"]
    assert found(flow_runs={"name": {"like_": "BET"}}) == ["beta"]
    assert found(flow_runs={"id": {"any_": [ids[0]]}}) == ["beta"]
    soon = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
    assert found(flow_runs={"expected_start_time": {"after_": soon}}) == ["beta"]
    assert found(flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}, "name": {"any_": ["Late"]}}}) == []
    assert found(flow_runs={"deployment_id": {"is_null_": True}}) == []
    assert found(flows={"name": {"like_": "track"}}, deployments={"tags": {"all_": ["nobody"]}}) == []
    assert found(work_pools={"name": {"any_": ["nobody"]}}) == []
    assert api.post("/flow_runs/count", json={"flow_runs": {"start_time": {"is_null_": True}}}).json() == 2
    flow = api.get(f"/flows/{api.get(f'/flow_runs/{ids[0]}').json()['flow_id']}").json()
    assert flow["name"] == "tracker"


def test_a_run_that_waits_is_cancelled_run_again_and_deleted(site: Site, api: httpx.Client) -> None:
    run_id = api.post(f"/deployments/{nightly(api)['id']}/create_flow_run", json={}).json()["id"]
    path = f"/flow_runs/{run_id}"
    cancelled = api.post(f"{path}/set_state", json={"state": {"type": "CANCELLED", "name": None}, "force": False})
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"]["type"] == "CANCELLED"
    again = api.post(f"{path}/set_state", json={"state": {"type": "SCHEDULED"}})
    assert again.json()["state"]["type"] == "SCHEDULED", again.text
    assert api.post(f"{path}/set_state", json={"state": {"type": "COMPLETED"}}).status_code == 409
    api.post(f"{path}/set_state", json={"state": {"type": "CANCELLED"}})
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_an_earlier_version_is_the_one_that_runs_again(api: httpx.Client) -> None:
    deployed_flows.tracker.to_deployment("nightly", version="8").apply()
    path = f"/deployments/{nightly(api)['id']}"
    assert api.post(f"{path}/rollback", json={"to": "7"}).json()["version"] == "7"
    assert [one["is_current"] for one in api.get(f"{path}/versions").json()] == [False, True]
    assert api.post(f"{path}/rollback", json={"to": 99}).status_code == 404


def test_limits_are_declared_changed_and_forgotten(own_fleet: Fleet, api: httpx.Client) -> None:
    made = api.post("/v2/concurrency_limits/", json={"name": "database", "limit": 3})
    assert made.status_code == 201
    assert api.post("/v2/concurrency_limits/", json={"name": "database", "limit": 3}).status_code == 409
    path = f"/v2/concurrency_limits/{made.json()['id']}"
    assert api.patch(path, json={"limit": 5, "active": False}).status_code == 204
    shown = api.get("/v2/concurrency_limits/database").json()
    assert (shown["limit"], shown["active"], shown["holders"], shown["waiting"]) == (5, False, [], 0)
    set_deployment_limit(own_fleet, nightly(api)["id"], 1)
    listed = api.post("/v2/concurrency_limits/filter", json={"limit": 10, "offset": 0}).json()
    assert [one["about"] for one in listed] == ["tracker/nightly", "database"]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_a_read_only_server_shows_and_changes_nothing(own_fleet: Fleet) -> None:
    deployed_flows.tracker.to_deployment("nightly").apply()
    site = Site(make_app(own_fleet, read_only=True))
    try:
        with httpx.Client(base_url=f"{site.url}/api", timeout=30) as api:
            path = f"/deployments/{nightly(api)['id']}"
            assert api.post(f"{path}/create_flow_run", json={}).status_code == 403
            assert api.post(f"{path}/pause_deployment").status_code == 403
            assert (api.get("/hello").json(), api.get("/admin/version").json()[:2]) == ("👋", "3.")
    finally:
        site.close()
