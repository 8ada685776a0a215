"""Work pools as pages: made, paused, limited, their queues changed, deleted; all by forms that need no scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.work_pools.editing import create_pool, limits_of, limits_of_queues
from orchestrator.work_pools.lookup import find_pool, pool_named
from orchestrator.work_pools.record import WorkPool
from tests.server.pages.test_deployment_pages import open_app, send
from tests.server.pages.test_pages import text_of
from tests.support.waiting import wait_until


@pytest.fixture
def reader(own_fleet: Fleet) -> Iterator[TestClient]:
    with open_app(own_fleet) as client:
        yield client


def pool(fleet: Fleet, name: str = "mine") -> WorkPool:
    return find_pool(fleet.broker, name)


def test_a_pool_is_made_paused_limited_and_deleted(reader: TestClient, own_fleet: Fleet) -> None:
    assert "There is no work pool yet." in text_of(reader.get("/work-pools"))
    made = send(reader, "/work-pools", name=" anns pool ü ", description="for <i>all</i>")
    assert "The pool is made." in text_of(made)
    path = "/work-pools/anns%20pool%20%C3%BC"
    assert "Nobody works for it now" in text_of(reader.get(path))
    listed = reader.get("/work-pools")
    assert f'href="{path}"' in listed.text
    assert "for <i>all</i>" in text_of(listed)
    send(reader, "/work-pools", name="boxes", type="docker")
    assert pool(own_fleet, "boxes").type == "docker"
    assert send(reader, "/work-pools", name="other", type="nomad").status_code == 422
    again = send(reader, "/work-pools", name="anns pool ü")
    assert (again.status_code, "already exists" in again.text) == (422, True)
    assert "none of its runs is handed out" in text_of(send(reader, f"{path}/pause"))
    assert pool(own_fleet, "anns pool ü").paused
    back = send(reader, f"{path}/resume", back="/work-pools")
    assert back.url.path == "/work-pools"
    send(reader, f"{path}/limit", limit="3")
    assert limits_of(own_fleet, [pool(own_fleet, "anns pool ü").id]) == [3]
    assert "0 of 3 places are taken" in text_of(reader.get(path))
    wrong = send(reader, f"{path}/limit", limit="many")
    assert (wrong.status_code, "is no number" in wrong.text) == (422, True)
    send(reader, f"{path}/limit", limit="")
    assert limits_of(own_fleet, [pool(own_fleet, "anns pool ü").id]) == [None]
    assert "0 deployments name it" in text_of(reader.get(f"{path}/delete"))
    assert "The pool is deleted" in text_of(send(reader, f"{path}/delete"))
    assert pool_named(own_fleet.broker, "anns pool ü") is None
    assert reader.get(path).status_code == 404
    assert send(reader, f"{path}/pause").status_code == 404


def test_its_queues_are_added_changed_and_deleted(reader: TestClient, own_fleet: Fleet) -> None:
    create_pool(own_fleet, "mine", "process")
    added = send(reader, "/work-pools/mine/add-queue", name="urgent now", priority="5", limit="2")
    assert "The queue is added." in text_of(added)
    path = "/work-pools/mine/queues/urgent%20now"
    for what, field, value in (("pause", "", ""), ("priority", "priority", "1"), ("limit", "limit", "4")):
        assert send(reader, f"{path}/{what}", **({field: value} if field else {})).status_code == 200
    (default, urgent) = pool(own_fleet).queues
    assert (default.name, urgent.name, urgent.priority, urgent.paused) == ("default", "urgent now", 1, True)
    assert limits_of_queues(own_fleet, pool(own_fleet)) == [None, 4]
    page = text_of(reader.get("/work-pools/mine"))
    assert "urgent now" in page
    assert "Paused" in page
    for fields, words in (
        ({"name": ""}, "name"),
        ({"name": "urgent now"}, "already"),
        ({"name": "x", "priority": "0"}, "priority"),
    ):
        wrong = send(reader, "/work-pools/mine/add-queue", **fields)
        assert (wrong.status_code, words in wrong.text) == (422, True), fields
    refused = send(reader, "/work-pools/mine/queues/default/delete")
    assert (refused.status_code, "as long as the pool" in refused.text) == (422, True)
    send(reader, f"{path}/resume")
    assert "The queue is deleted." in text_of(send(reader, f"{path}/delete"))
    assert len(pool(own_fleet).queues) == 1
    for gone in (
        f"{path}/pause",
        f"{path}/delete",
        "/work-pools/mine/queues/default/nothing",
        "/work-pools/mine/nothing",
    ):
        assert send(reader, gone).status_code == 404


@flow
def nightly() -> None:
    """A flow of a pool."""


def test_the_page_of_a_pool_has_its_deployments_and_runs(reader: TestClient, own_fleet: Fleet) -> None:
    create_pool(own_fleet, "mine", "process")
    create_pool(own_fleet, "other", "process")
    nightly.to_deployment("here", work_pool_name="mine").apply()
    nightly.to_deployment("there", work_pool_name="other").apply()
    run = run_deployment("nightly/here", timeout=0)
    wait_until(lambda: f"/flows/{run.id}" in reader.get("/work-pools/mine").text, 30, "the index has the run")
    page = text_of(reader.get("/work-pools/mine"))
    assert "nightly/here" in page
    assert "nightly/there" not in page


def test_a_damaged_pool_breaks_no_page(reader: TestClient, own_fleet: Fleet) -> None:
    create_pool(own_fleet, "good", "process")
    broken = create_pool(own_fleet, "broken", "process")
    own_fleet.broker.documents.write("pool", broken.id, {"d": b"\xc1", "queues": b"\xff"})
    listed = text_of(reader.get("/work-pools"))
    assert "good" in listed
    assert "broken" in listed
    assert "cannot be read here" in text_of(reader.get("/work-pools/broken"))


def test_a_read_only_server_shows_no_buttons(own_fleet: Fleet) -> None:
    create_pool(own_fleet, "mine", "process")
    with open_app(own_fleet, read_only=True) as reader:
        for path in ("/work-pools", "/work-pools/mine"):
            page = reader.get(path)
            assert page.status_code == 200
            assert "<form" not in page.text.split("<main", 1)[1]
