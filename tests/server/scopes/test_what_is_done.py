"""A team's scope: nothing is done to what is outside of it, and nothing with more than one's role."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from orchestrator.artifacts import writing
from orchestrator.artifacts.writing import Draft
from tests.server.conftest import caught_up
from tests.server.scopes.shop import ADMIN, ETL, ETL_EDITOR, Shop, app_client_of_two_roles, etl, runs_of


def test_job_variables_of_a_run_take_an_editor_of_its_deployment(shop: Shop) -> None:
    inside = f"/api/deployments/{shop.deployment('etl-hourly/one')}/create_flow_run"
    given = {"job_variables": {"env": {"LD_PRELOAD": "/tmp/mine.so"}}}
    answer = shop.clients[ETL].post(inside, json=given)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith(
        "job_variables of a run: editor is needed for this, and bob is not over etl"
    )
    results = shop.ask(ETL, "POST", f"{inside}/bulk", [{}, given])["results"]
    assert [(one["status"], "editor is needed" in (one["error"] or "")) for one in results] == [
        ("CREATED", False),
        ("FAILED", True),
    ]
    for fine in ({}, {"job_variables": {}}, {"job_variables": None}):
        assert shop.status(ETL, "POST", inside, fine) == 201
    assert shop.status(ETL_EDITOR, "POST", inside, given) == 201
    assert shop.status(ADMIN, "POST", inside, given) == 201
    place = {"job_variables": {"env": {"A": "{{ prefect.blocks.secret.theirs }}"}}}
    assert shop.status(ETL_EDITOR, "POST", inside, place) == 409
    both = app_client_of_two_roles(shop)  # runner of everything, editor of another part
    outside = f"/api/deployments/{shop.deployment('tracker/nightly')}/create_flow_run"
    assert both.post(outside, json={}).status_code == 201
    assert both.post(outside, json=given).status_code == 403
    assert both.post(inside, json=given).status_code == 201


def test_nobody_says_that_something_happened_to_things_of_others(shop: Shop) -> None:
    mine, theirs = (shop.deployment(name) for name in ("etl-hourly/one", "tracker/nightly"))
    inside, outside = runs_of(shop)
    pools = {one["name"]: one["id"] for one in shop.ask(ADMIN, "POST", "/api/work_pools/filter", {})}

    def told(resource: str, *related: str, name: str = "shop.released", label: str = "nightly") -> dict[str, Any]:
        others = [{"prefect.resource.id": one, "prefect.resource.role": "x"} for one in related]
        return {
            "event": name,
            "occurred": "2026-11-29T20:05:00Z",
            "resource": {"prefect.resource.id": resource, "prefect.resource.name": label},
            "related": others,
        }

    own = f"prefect.deployment.{mine}"
    for forged in (
        told(f"prefect.deployment.{theirs}", own),
        told(f"orchestrator.deployment.{theirs}", own),
        told(f"prefect.flow-run.{outside}", f"prefect.flow-run.{inside}"),
        told(own, f"prefect.deployment.{theirs}"),
        told(f"prefect.work-pool.{pools['red']}", label="blue-z"),
        told("prefect.work-pool.x", label="blue-1"),
        told("prefect.block-document.x", own),
        told("shop.order.7"),
    ):
        assert shop.status(ETL, "POST", "/api/events", [told(own), forged]) == 404, forged
    for name in ("prefect.flow-run.Failed", "orchestrator.deployment.not-ready"):
        assert shop.status(ETL, "POST", "/api/events", [told(own, name=name)]) == 403, name
        assert shop.status(ADMIN, "POST", "/api/events", [told(own, name=name)]) == 204, name
    written = {"filter": {"event": {"name": ["shop.released"]}}}
    assert shop.ask(ADMIN, "POST", "/api/events/filter", written)["events"] == []
    fine = [
        told(own),
        told("shop.order.7", own, f"prefect.flow-run.{inside}"),
        told(f"prefect.work-pool.{pools['blue-1']}"),
    ]
    assert shop.status(ETL, "POST", "/api/events", fine) == 204
    assert len(shop.ask(ETL, "POST", "/api/events/filter", written)["events"]) == 3
    assert shop.status(ADMIN, "POST", "/api/events", [told(f"prefect.work-pool.{pools['red']}", label="blue-z")]) == 204
    assert len(shop.ask(ETL, "POST", "/api/events/filter", written)["events"]) == 3, "a name is not believed"


def test_a_deployment_is_put_into_pools_of_the_scope_only(shop: Shop) -> None:
    inside = shop.deployment("etl-hourly/one")
    path, client = f"/api/deployments/{inside}", shop.clients[ETL_EDITOR]
    for pool in ("red", "no-such-pool"):  # the same answer: it tells nobody which pools there are
        refused = client.patch(path, json={"work_pool_name": pool})
        sentence = f"there is no work pool {pool!r}, or it is out of the scope of your teams"
        assert (refused.status_code, refused.json()["detail"]) == (404, sentence)
    flow_id = shop.ask(ADMIN, "GET", "/api/flows/name/etl-hourly")["id"]
    new = {"name": "evil", "flow_id": flow_id, "entrypoint": "evil.py:f", "work_pool_name": "red"}
    assert shop.status(ETL_EDITOR, "POST", "/api/deployments/", new) == 404
    assert shop.status(ETL_EDITOR, "POST", "/api/deployments/", {**new, "work_pool_name": "blue-1"}) == 201
    assert shop.status(ADMIN, "PATCH", path, {"work_pool_name": "red"}) == 204
    kept = {"work_pool_name": "red", "description": "stays where an admin has put it"}
    assert shop.status(ETL_EDITOR, "PATCH", path, kept) == 204
    assert shop.status(ETL_EDITOR, "PATCH", path, {"work_pool_name": "blue-1"}) == 204


def test_nobody_hides_an_artifact_of_others(shop: Shop) -> None:
    inside, outside = runs_of(shop)
    left = partial(writing.write, shop.fleet)
    left(Draft("markdown", "report", data="# theirs", flow_run_id=outside))
    left(Draft("markdown", "shared", data="# mine", flow_run_id=inside))
    left(Draft("markdown", "shared", data="# theirs", flow_run_id=outside))
    new = {"key": "report", "type": "markdown", "data": "# mine", "flow_run_id": inside}
    refused = shop.clients[ETL].post("/api/artifacts/", json=new)
    assert (refused.status_code, "take another key" in refused.json()["detail"]) == (403, True)
    assert shop.status(ETL, "POST", "/api/artifacts/", {**new, "key": "my-report"}) == 201
    assert shop.status(ETL, "POST", "/api/artifacts/", {**new, "key": "my-report"}) == 201, "another version"
    assert shop.ask(ADMIN, "GET", "/api/artifacts/report/latest")["data"] == "# theirs"
    # a key that programs on the store share: each sees the newest of its own
    assert shop.ask(ETL, "GET", "/api/artifacts/shared/latest")["data"] == "# mine"
    assert shop.ask(ADMIN, "GET", "/api/artifacts/shared/latest")["data"] == "# theirs"
    latest = shop.ask(ETL, "POST", "/api/artifacts/latest/filter", {})
    assert sorted(one["key"] for one in latest) == ["my-report", "shared"]
    assert shop.ask(ETL, "POST", "/api/artifacts/latest/count", {}) == 2
    assert shop.status(ETL, "GET", "/api/artifacts/report/latest") == 404


def test_names_runs_and_senders_of_others_are_not_told_and_not_used(shop: Shop) -> None:
    inside, outside = runs_of(shop)
    taken = {"name": "unseen", "value": 1, "tags": ["team-data"]}
    refused = shop.clients[ETL_EDITOR].post("/api/variables/", json=taken)
    assert refused.status_code == 404
    assert refused.json()["detail"].startswith("there is no place for a variable named 'unseen', or it is out of")
    assert shop.status(ETL_EDITOR, "POST", "/api/variables/", {**taken, "name": "seen"}) == 409, "their own"
    path = f"/api/deployments/{shop.deployment('etl-hourly/one')}/create_flow_run"
    assert shop.status(ETL, "POST", path, {"parent_task_run_id": outside}) == 404
    assert shop.status(ETL, "POST", path, {"parent_task_run_id": inside}) == 201
    for key, sender in (("a", f"prefect.flow-run.{outside}"), ("b", "the boss"), ("c", f"prefect.flow-run.{inside}")):
        sent = {"key": key, "value": "1", "sender": sender}
        assert shop.status(ETL, "POST", f"/api/flow_runs/{inside}/input", sent) == 201
    found = shop.ask(ETL, "POST", f"/api/flow_runs/{inside}/input/filter", {"prefix": "", "limit": 10})
    assert {one["key"]: one["sender"] for one in found} == {"a": None, "b": None, "c": f"prefect.flow-run.{inside}"}


def test_environments_and_log_ins_of_runs_are_for_editors_of_them(shop: Shop) -> None:
    inside, outside = shop.deployment("etl-hourly/one"), shop.deployment("tracker/nightly")
    given = {
        "env": {"SHOP_DB": "s3cr3t", "CITY": "Oslo", "GONE": None},
        "command": ["load", "--from", "postgresql://ann:p@ss/w0rd@db:5432/shop"],
        "container_create_kwargs": {"environment": [{"name": "KEY", "value": "s3cr3t"}, "OTHER=s3cr3t"]},
        "image": "registry.shop/etl:1",
    }
    for one in (inside, outside):
        shop.ask(ADMIN, "PATCH", f"/api/deployments/{one}", {"job_variables": given})
    seen = shop.ask(ETL, "GET", f"/api/deployments/{inside}")["job_variables"]
    assert seen == {
        "env": {"SHOP_DB": "••••••", "CITY": "••••••", "GONE": None},
        "command": ["load", "--from", "postgresql://••••••@db:5432/shop"],
        "container_create_kwargs": {"environment": [{"name": "KEY", "value": "••••••"}, "••••••"]},
        "image": "registry.shop/etl:1",
    }
    listed = shop.clients[ETL].post("/api/deployments/filter", json={}).text
    assert "registry.shop" in listed
    assert "s3cr3t" not in listed
    for who in (ADMIN, ETL_EDITOR):
        assert shop.ask(who, "GET", f"/api/deployments/{inside}")["job_variables"] == given, who
    both = app_client_of_two_roles(shop)  # who is an editor elsewhere is a viewer here
    assert both.get(f"/api/deployments/{inside}").json()["job_variables"] == given
    assert "s3cr3t" not in both.get(f"/api/deployments/{outside}").text


def test_runs_of_a_deleted_deployment_do_not_come_with_a_new_one_of_its_name(shop: Shop) -> None:
    before, _ = runs_of(shop)
    inside = shop.deployment("etl-hourly/one")
    assert shop.status(ETL, "GET", f"/api/flow_runs/{before}") == 200
    assert shop.status(ADMIN, "DELETE", f"/api/deployments/{inside}") == 204
    an_hour_ago = f"{time.time() - 3600:.3f}".encode()
    shop.fleet.broker.flow_runs.write(before, {"created": an_hour_ago})
    etl.to_deployment("one").apply(_sync=True)
    assert shop.deployment("etl-hourly/one") == inside
    after = shop.ask(ETL, "POST", f"/api/deployments/{inside}/create_flow_run", {})["id"]
    caught_up(shop.clients[ADMIN].app.state.queries.index)  # type: ignore[attr-defined]
    assert shop.status(ETL, "GET", f"/api/flow_runs/{before}") == 404
    assert shop.status(ETL, "GET", f"/api/flow_runs/{before}/logs") == 404
    assert [run["id"] for run in shop.ask(ETL, "POST", "/api/flow_runs/filter", {})] == [after]
    by_id = {"flow_runs": {"id": {"any_": [before, after]}}}
    assert [run["id"] for run in shop.ask(ETL, "POST", "/api/flow_runs/filter", by_id)] == [after]
    assert shop.status(ADMIN, "GET", f"/api/flow_runs/{before}") == 200
