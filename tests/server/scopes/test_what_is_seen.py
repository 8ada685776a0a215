"""A team's scope: what is outside of it is not there, in no list, count, event, search or page."""

from __future__ import annotations

from orchestrator.artifacts import writing
from orchestrator.artifacts.writing import Draft
from orchestrator.people import teams
from orchestrator.people.roles import Role
from orchestrator.people.scope import Scope
from tests.server.conftest import caught_up
from tests.server.scopes.shop import ADMIN, ETL, ETL_EDITOR, Shop, names, runs_of


def test_lists_and_counts_have_what_is_inside_only(shop: Shop) -> None:
    for path, wanted in {
        "/api/deployments": ["one", "tagged"],
        "/api/flows": ["etl-hourly", "tracker"],
        "/api/variables": ["seen"],
        "/api/work_pools": ["blue-1"],
    }.items():
        assert names(shop.ask(ETL, "POST", f"{path}/filter", {})) == wanted, path
        assert shop.ask(ETL, "POST", f"{path}/count", {}) == len(wanted), path
        assert len(shop.ask(ADMIN, "POST", f"{path}/filter", {})) >= len(wanted), path
    assert names(shop.ask(ADMIN, "POST", "/api/deployments/filter", {})) == ["nightly", "one", "tagged"]
    page = shop.ask(ETL, "POST", "/api/deployments/paginate", {})
    assert (page["count"], names(page["results"])) == (2, ["one", "tagged"])
    assert len(shop.ask(ETL, "GET", "/api/schedules")) == 1
    assert len(shop.ask(ADMIN, "GET", "/api/schedules")) == 2


def test_what_is_outside_is_404_whatever_is_asked(shop: Shop) -> None:
    outside = shop.deployment("tracker/nightly")
    (schedule,) = shop.ask(ADMIN, "GET", f"/api/deployments/{outside}/schedules")
    for method, path, body in (
        ("GET", f"/api/deployments/{outside}", None),
        ("GET", "/api/deployments/name/tracker/nightly", None),
        ("GET", f"/api/deployments/{outside}/versions", None),
        ("GET", f"/api/deployments/{outside}/schedules", None),
        ("GET", f"/api/schedules/{schedule['id']}", None),
        ("GET", "/api/variables/name/unseen", None),
        ("GET", "/api/work_pools/red", None),
        ("PATCH", f"/api/deployments/{outside}", {"description": "mine"}),
        ("DELETE", f"/api/deployments/{outside}", None),
        ("POST", f"/api/deployments/{outside}/pause_deployment", None),
        ("POST", f"/api/deployments/{outside}/create_flow_run", {}),
        ("POST", f"/api/schedules/{schedule['id']}/pause", {}),
        ("POST", f"/api/schedules/{schedule['id']}/trigger", None),
        ("DELETE", f"/api/schedules/{schedule['id']}", None),
        ("PATCH", "/api/variables/name/unseen", {"value": 3}),
        ("DELETE", "/api/variables/name/unseen", None),
        ("PATCH", "/api/work_pools/red", {"is_paused": True}),
        ("DELETE", "/api/work_pools/red", None),
        ("POST", "/api/work_pools/", {"name": "green", "type": "process"}),
        ("POST", "/api/variables/", {"name": "mine", "value": 1, "tags": ["other"]}),
    ):
        assert shop.status(ETL_EDITOR, method, path, body) == 404, (method, path)
    assert shop.ask(ADMIN, "GET", f"/api/deployments/{outside}")["paused"] is False
    assert shop.ask(ADMIN, "GET", "/api/variables/name/unseen")["value"] == 2


def test_what_is_inside_can_be_done_and_nothing_moves_out(shop: Shop) -> None:
    inside = shop.deployment("etl-hourly/one")
    assert shop.status(ETL, "PATCH", f"/api/deployments/{inside}", {"description": "mine"}) == 403
    assert shop.status(ETL_EDITOR, "PATCH", f"/api/deployments/{inside}", {"description": "mine"}) == 204
    tagged = shop.deployment("tracker/tagged")
    assert shop.status(ETL_EDITOR, "PATCH", f"/api/deployments/{tagged}", {"tags": []}) == 404
    assert shop.status(ETL_EDITOR, "PATCH", "/api/variables/name/seen", {"value": 5}) == 204
    assert shop.status(ETL_EDITOR, "PATCH", "/api/variables/name/seen", {"tags": []}) == 404
    made = {"name": "mine", "value": 1, "tags": ["team-data"]}
    assert shop.status(ETL_EDITOR, "POST", "/api/variables/", made) == 201
    # somebody else's deployment is not taken over by giving it a tag
    (tracker,) = [one for one in shop.ask(ADMIN, "POST", "/api/flows/filter", {}) if one["name"] == "tracker"]
    theirs = {"name": "nightly", "flow_id": tracker["id"], "tags": ["team-data"]}
    assert shop.status(ETL_EDITOR, "POST", "/api/deployments/", theirs) == 404


def test_runs_logs_artifacts_and_events_of_others_are_not_there(shop: Shop) -> None:
    inside, outside = runs_of(shop)
    shop.fleet.logs.add(inside, "INFO", "a line inside", 1_700_000_000.0)
    shop.fleet.logs.add(outside, "INFO", "a line outside", 1_700_000_000.0)
    shop.fleet.logs.flush()
    for run_id in (inside, outside):
        writing.write(shop.fleet, Draft("markdown", f"report-{run_id[-6:]}", data="# text", flow_run_id=run_id))
    assert [run["id"] for run in shop.ask(ETL, "POST", "/api/flow_runs/filter", {})] == [inside]
    assert shop.ask(ETL, "POST", "/api/flow_runs/count", {}) == 1
    assert shop.ask(ADMIN, "POST", "/api/flow_runs/count", {}) == 2
    by_id = {"flow_runs": {"id": {"any_": [inside, outside]}}}
    assert [run["id"] for run in shop.ask(ETL, "POST", "/api/flow_runs/filter", by_id)] == [inside]
    logs = shop.ask(ETL, "POST", "/api/logs/filter", {"logs": {"flow_run_id": {"any_": [inside, outside]}}})
    assert [line["message"] for line in logs] == ["a line inside"]
    artifacts = shop.ask(ETL, "POST", "/api/artifacts/filter", {})
    assert [one["flow_run_id"] for one in artifacts] == [inside]
    assert shop.ask(ETL, "POST", "/api/artifacts/latest/count", {}) == 1
    assert shop.status(ETL, "GET", f"/api/artifacts/report-{outside[-6:]}/latest") == 404
    events = shop.ask(ETL, "POST", "/api/events/filter", {"limit": 50})["events"]
    assert events
    assert outside not in str(events)
    assert shop.deployment("tracker/nightly") not in str(events)
    for method, path, body in (
        ("GET", f"/api/flow_runs/{outside}", None),
        ("GET", f"/api/flow_runs/{outside}/logs", None),
        ("POST", f"/api/flow_runs/{outside}/set_state", {"state": {"type": "CANCELLED"}}),
        ("POST", f"/api/flow_runs/{outside}/resume", {}),
        ("DELETE", f"/api/flow_runs/{outside}", None),
        ("GET", f"/flows/{outside}", None),
    ):
        assert shop.status(ETL_EDITOR, method, path, body) == 404, (method, path)
    assert shop.status(ETL, "POST", f"/api/flow_runs/{inside}/set_state", {"state": {"type": "CANCELLED"}}) < 300


def test_task_runs_of_others_are_neither_seen_nor_cancelled(shop: Shop) -> None:
    from tests.support.apps import basics

    run_id = str(basics.add.delay(1, 2).task_run_id)
    shop.ask(ADMIN, "GET", "/api/version")  # the index begins with the first request
    caught_up(shop.clients[ADMIN].app.state.queries.index)  # type: ignore[attr-defined]
    assert shop.ask(ADMIN, "POST", "/api/task_runs/count", {}) == 1
    assert shop.ask(ETL, "POST", "/api/task_runs/count", {}) == 0
    assert shop.ask(ETL, "POST", "/api/task_runs/filter", {}) == []
    assert shop.status(ETL, "GET", f"/api/task_runs/{run_id}") == 404
    assert shop.ask(ETL, "POST", "/api/task_runs/bulk_cancel", {"ids": [run_id]}) == {"asked": 0, "done": 0}
    assert shop.ask(ETL, "POST", "/api/task_runs/bulk_cancel", {"all": True}) == {"asked": 0, "done": 0}
    assert shop.fleet.latest_state(run_id).type != "CANCELLED"


def test_what_is_of_everything_is_not_for_those_who_see_a_part(shop: Shop) -> None:
    for path in ("/api/overview", "/api/queues", "/api/workers", "/api/dead", "/api/settings", "/queues", "/blocks"):
        assert shop.status(ETL_EDITOR, "GET", path) == 403, path
    answer = shop.clients[ETL].get("/api/overview")
    assert answer.json()["detail"] == "viewer of everything is needed for this, and bob has that over a part only"
    assert shop.clients[ETL].get("/").headers["location"] == "/deployments"


def test_pages_show_what_is_inside_only(shop: Shop) -> None:
    inside, outside = runs_of(shop)
    for path in ("/deployments", "/schedules", "/flows", "/runs", "/variables", "/work-pools", "/events", "/artifacts"):
        page = shop.clients[ETL].get(path)
        assert page.status_code == 200, path
        for hidden in ("nightly", "unseen", ">red<", outside):
            assert hidden not in page.text, (path, hidden)
    assert "etl-hourly" in shop.clients[ETL].get("/deployments").text
    assert inside in shop.clients[ETL].get("/flows").text


def test_many_runs_are_done_with_as_far_as_the_role_that_it_takes_reaches(shop: Shop) -> None:
    from orchestrator.people import teams, users

    broker = shop.fleet.broker
    users.set_role(broker, users.existing_user(broker, "eve"), Role.RUNNER)  # of all, and editor of a part
    assert teams.existing_team(broker, "team of eve").role is Role.EDITOR
    inside, outside = runs_of(shop)
    for run_id in (inside, outside):
        shop.ask(ADMIN, "POST", f"/api/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLED"}})
    caught_up(shop.clients[ADMIN].app.state.queries.index)  # type: ignore[attr-defined]
    eve = shop.clients[ETL_EDITOR]
    page = eve.get(f"/runs/confirm?selected=delete&run_id={inside}&run_id={outside}")
    assert page.status_code == 200
    assert outside not in page.text.partition("<form")[0].partition("<table")[2]
    for form in ({"run_id": [inside, outside]}, {"scope": "all"}):
        assert eve.post("/runs/act", data={"what": "delete", **form}).status_code == 303
        assert shop.status(ADMIN, "GET", f"/api/flow_runs/{outside}") == 200
    assert shop.fleet.latest_state(outside) is not None
    assert eve.post("/runs/act", data={"what": "cancel", "run_id": [outside]}).status_code == 303, "a runner of all"


def test_rights_of_several_teams_add_up(shop: Shop) -> None:
    from orchestrator.people import users

    bob, broker = users.existing_user(shop.fleet.broker, "bob"), shop.fleet.broker
    night = teams.create_team(broker, "night", Role.VIEWER, Scope(("tracker/nightly",)))
    teams.add_member(broker, night, bob)
    assert names(shop.ask(ETL, "POST", "/api/deployments/filter", {})) == ["nightly", "one", "tagged"]
    outside = shop.deployment("tracker/nightly")
    assert shop.status(ETL, "GET", f"/api/deployments/{outside}") == 200
    assert shop.status(ETL, "POST", f"/api/deployments/{outside}/create_flow_run", {}) == 404, "a viewer of that"
    teams.delete_team(broker, night)
    assert names(shop.ask(ETL, "POST", "/api/deployments/filter", {})) == ["one", "tagged"]
