"""Dead letters, without a worker: grouped, replayed, deleted."""

from __future__ import annotations

from brokers.messages import AckKind
from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from tests.server.conftest import Site
from tests.support.work import Work


def test_dead_letters_are_grouped_replayed_and_deleted(own_fleet: Fleet, work: Work) -> None:
    work.submit_many(3, "shop.pay")
    work.submit_many(2, "mail.send")
    ids = work.run(AckKind.DEAD)
    site = Site(make_app(own_fleet))
    try:
        with site.client() as client:
            told = client.get("/api/dead").json()
            assert told["total"] == 5
            assert [(group["task"], group["error"], group["count"]) for group in told["groups"]] == [
                ("shop.pay", "given up", 3),
                ("mail.send", "given up", 2),
            ]
            assert client.post("/api/dead/replay", json={"ids": [ids[0], "nothing"]}).json() == {"asked": 1, "done": 1}
            assert client.get("/api/dead").json()["total"] == 4
            assert client.post("/api/dead/purge", json={"ids": [ids[1]]}).json() == {"asked": 1, "done": 1}
            assert client.get(f"/api/task_runs/{ids[1]}").status_code == 404
            assert client.post("/api/dead/replay", json={}).json() == {"asked": 3, "done": 3}
            assert client.get("/api/dead").json()["total"] == 0
    finally:
        site.close()
    assert len(work.take()) == 4
