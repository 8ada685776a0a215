"""A record with damaged bytes costs its own line at most: pages and API show every other run."""

from __future__ import annotations

import pytest

from brokers.messages import AckKind
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from tests.server.conftest import Site, caught_up
from tests.support.work import Work

DAMAGE = (b"\xff\xfe\x00", b"", b"\xc1", b"\x96\xa1x\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xc0\xc0\xc0\xc0", b"9" * 400)
FIELDS = "stqbemcavzjorfup"  # of a record
PAGES = (
    "/",
    "/runs",
    "/runs?sort=duration",
    "/runs?argument=x",
    "/flows",
    "/flows/flow-1",
    "/scheduled",
    "/dead",
    "/queues",
)


@pytest.mark.parametrize("field", [*FIELDS, "whole"])
def test_one_damaged_record_leaves_the_others_to_be_seen(own_fleet: Fleet, work: Work, field: str) -> None:
    victims = work.submit_many(len(DAMAGE), flow="flow-1", kwargs={"note": "x"})
    work.run(AckKind.FAILED)
    well = [*work.submit_many(3, flow="flow-1", kwargs={"note": "x"}), work.submit(d=600_000)]
    keys, commands = own_fleet.broker.keys, []
    for run_id, damage in zip(victims, DAMAGE, strict=True):
        key = keys.record(run_id)
        commands += [("DEL", key), ("RPUSH", key, damage)] if field == "whole" else [("HSET", key, field, damage)]
    own_fleet.broker.wires.commands(commands)
    site = Site(make_app(own_fleet))
    try:
        site.queries.index.start()
        caught_up(site.queries.index)
        with site.client() as client:
            for path in PAGES:
                assert client.get(path).status_code == 200, path
            listed = client.get("/runs").text
            assert [run_id for run_id in well if f"/runs/{run_id}" not in listed] == []
            asked = {"limit": 200}
            told = client.post("/api/task_runs/filter", json=asked)
            assert told.status_code == 200
            assert {*well} <= {run["id"] for run in told.json()}
            for run_id in victims:
                assert client.get(f"/runs/{run_id}").status_code in (200, 404)
                assert client.get(f"/api/task_runs/{run_id}").status_code in (200, 404)
    finally:
        site.close()


@pytest.mark.parametrize(
    "field", ["flow", "name", "type", "state", "message", "at", "began", "runs", "parent", "result"]
)
def test_one_damaged_flow_record_leaves_the_others_to_be_seen(own_fleet: Fleet, work: Work, field: str) -> None:
    kept = {
        "flow": "nightly",
        "name": "one",
        "type": "COMPLETED",
        "state": "Completed",
        "at": "1700000000.5",
        "runs": "1",
    }
    more = (b"inf", b"1e400", b"-1e18", b"nan")
    for number, damage in enumerate((b"", *DAMAGE, *more)):
        own_fleet.broker.flow_runs.write(f"flow-{number}", {**kept, field: damage} if number else kept)
    site = Site(make_app(own_fleet))
    try:
        site.queries.index.start()
        caught_up(site.queries.index)
        with site.client() as client:
            assert client.get("/").status_code == 200
            listed = client.get("/flows")
            assert listed.status_code == 200
            for number in range(1 + len(DAMAGE) + len(more)):
                assert client.get(f"/flows/flow-{number}").status_code == 200, number
                assert client.get(f"/api/flow_runs/flow-{number}").status_code == 200, number
                assert f"/flows/flow-{number}" in listed.text
    finally:
        site.close()
