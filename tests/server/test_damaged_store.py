"""A damaged field costs its run, worker or flow, and neither the pages, the figures nor the index of the others."""

from __future__ import annotations

import secrets

import msgpack
import pytest

from brokers.messages import AckKind
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import new_run_id
from tests.server.conftest import Site
from tests.support.waiting import wait_until
from tests.support.work import Work

PAGES = (
    "/",
    "/runs",
    "/flows",
    "/workers",
    "/queues",
    "/dead",
    "/deployments",
    "/schedules",
    "/limits",
    "/artifacts",
    "/work-pools",
    "/blocks",
    "/variables",
    "/metrics",
)
API = ("/api/queues", "/api/workers", "/api/overview", "/api/dead", "/api/tasks", "/api/scheduled", "/api/health")


@pytest.fixture(scope="module")
def damaged(fleet: Fleet) -> dict[str, str]:
    """Runs, flows and workers of which each field is damaged in turn, and a run that is well."""
    work, broker = Work(fleet), fleet.broker
    ask = broker.wires.commands

    well = work.submit()
    work.run(AckKind.COMPLETED)
    fields = b"s t q b e a c v w d o f m x l g p y z j u h i k r G"
    for field in fields.split():
        for value in (b"\xff\xfe", b"x"):
            run_id = work.submit()
            ask([("HSET", broker.keys.record(run_id), field, value)])
            ask([("XADD", broker.keys.journal, "*", "e", msgpack.packb([run_id, "C"], use_bin_type=False))])
    ask([("SET", broker.keys.record(work.submit()), "x")])
    flow_run_id = new_run_id()
    broker.flow_runs.write(
        flow_run_id, {"flow": b"\xff", "type": b"\xff", "runs": b"x", "at": b"nan", "parent": b"\xfe"}
    )
    ask([("HSET", broker.keys.flow(flow_run_id), b"\xff", b"x")])
    ask([("XADD", broker.keys.journal, "*", "f", msgpack.packb([flow_run_id, b"\xff"], use_bin_type=False))])
    for entry in (b"\xc1", msgpack.packb([1, 2]), msgpack.packb({"a": 1})):
        ask([("XADD", broker.keys.journal, "*", field, entry) for field in ("e", "s", "f", "z")])
    broker.consumers.beat(["evil"], 3600)
    facts = dict.fromkeys(("name", "queues", "tasks", "parameters", "started", "pid", "memory_bytes", "inbox"), b"\xff")
    ask([("HSET", broker.keys.worker("evil"), *[part for pair in facts.items() for part in pair])])
    ask([("ZADD", broker.keys.workers, 1 << 50, b"\xff\xfe"), ("ZADD", broker.keys.dead, 1 << 50, b"\xff\xfe")])
    ask([("SADD", broker.keys.queues, b"\xff"), ("HSET", broker.keys.counts, "C:x", "x", b"\xff", "1")])
    ask([("HSET", broker.keys.submitted, "q:x", "x"), ("ZADD", broker.keys.delayed, 1 << 50, b"\xff")])
    return {"well": well, "flow": flow_run_id}


def test_pages_and_figures_are_shown(site: Site, damaged: dict[str, str]) -> None:
    with site.client() as client:
        answers = {
            path: client.get(path) for path in (*PAGES, *API, f"/runs/{damaged['well']}", f"/flows/{damaged['flow']}")
        }
        assert {path: answer.status_code for path, answer in answers.items() if answer.status_code >= 500} == {}
        listed = client.post("/api/task_runs/filter", json={"limit": 200})
        assert listed.status_code == 200


def test_the_index_goes_on(site: Site, damaged: dict[str, str], fleet: Fleet) -> None:
    later = Work(fleet).submit(f"shop.{secrets.token_hex(4)}")

    def found() -> bool:
        with site.client() as client:
            answer = client.post("/api/task_runs/filter", json={"limit": 10})
        return later in answer.text and damaged["well"] in client_text(site)

    wait_until(found, 20, "a run that was submitted afterwards is listed")


def client_text(site: Site) -> str:
    with site.client() as client:
        return client.post("/api/task_runs/filter", json={"limit": 200}).text


def test_each_damaged_run_has_a_page(site: Site, fleet: Fleet, damaged: dict[str, str]) -> None:
    with site.client() as client:
        runs = [run["id"] for run in client.post("/api/task_runs/filter", json={"limit": 200}).json()]
        assert len(runs) > 30
        broken = {
            (path, answer.status_code)
            for run_id in runs
            for path in (f"/runs/{run_id}", f"/api/task_runs/{run_id}")
            if (answer := client.get(path)).status_code >= 500
        }
    assert broken == set()
