"""Status, long polls and cancelling by HTTP, with a real worker."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from orchestrator.client.fleet import Fleet, use_fleet
from orchestrator.contrib import starlette as for_starlette
from orchestrator.contrib.fastapi import Accepted, accepted, add_exception_handlers, tasks_router
from orchestrator.contrib.starlette import feed as feeds
from orchestrator.settings import Settings
from tests.support.apps.progressing import refuse, step, step_in_a_loop
from tests.support.servers import ServerProcess, free_port
from tests.support.waiting import wait_until
from tests.web.conftest import Serve

pytestmark = pytest.mark.usefixtures("worker")


def shop(**options: Any) -> FastAPI:
    """An application without any set-up but the router."""
    app = FastAPI()
    app.include_router(tasks_router(**options))
    add_exception_handlers(app)

    @app.post("/sync", status_code=202, response_model=Accepted)
    def order(folder: str, steps: int) -> Response:
        return accepted(step.delay(folder, steps))

    @app.post("/async", status_code=202, response_model=Accepted)
    async def order_async(folder: str, steps: int) -> Response:
        return accepted(await step_in_a_loop.adelay(folder, steps))

    @app.post("/blocking", status_code=202, response_model=Accepted)
    async def order_blocking(folder: str, steps: int) -> Response:
        return accepted(step.delay(folder, steps))

    @app.post("/refuse", status_code=202, response_model=Accepted)
    def order_refusal() -> Response:
        return accepted(refuse.delay("no such shop"))

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    return app


def ordered(answer: httpx.Response) -> str:
    """The address of the run that was accepted."""
    assert answer.status_code == 202, answer.text
    body = answer.json()
    location: str = answer.headers["Location"]
    assert location == body["links"]["status"] == f"/tasks/{body['id']}"
    assert body["links"]["events"] == f"{location}/events"
    assert body["links"]["cancel"] == f"{location}/cancel"
    return location


def watched() -> int:
    """How many runs are watched in this process."""
    return sum(len(feed) for feed in list(feeds._feeds.values()))


@pytest.mark.parametrize("address", ["/sync", "/async", "/blocking"])
def test_a_call_from_a_handler_of_either_kind_without_any_set_up(address: str, serve: Serve, tmp_path: Path) -> None:
    site = serve(shop())
    run = ordered(site.post(address, params={"folder": str(tmp_path), "steps": 1}))
    assert site.get(run).json()["ended"] is False
    (tmp_path / "step-1").touch()
    told = site.get(run, params={"wait": 30}).json()
    assert (told["state"], told["name"], told["ended"], told["result"]) == ("COMPLETED", "Completed", True, 1)
    assert told["task"].endswith(("step", "step_in_a_loop"))
    assert told["progress"] == {
        "done": 1,
        "total": 1,
        "note": "step 1" if "loop" not in told["task"] else None,
        "fraction": 1,
    }
    assert told["error"] is None
    assert told["created"] is not None


def test_an_error_is_told_without_its_traceback_unless_asked_for(serve: Serve) -> None:
    site = serve(shop())
    told = site.get(ordered(site.post("/refuse")), params={"wait": 30}).json()
    assert (told["state"], told["result"]) == ("FAILED", None)
    assert told["error"] == {"type": "ValueError", "message": "no such shop", "traceback": None}
    candid = serve(shop(tracebacks=True))
    traceback = candid.get(f"/tasks/{told['id']}").json()["error"]["traceback"]
    assert "progressing.py" in traceback
    assert "no such shop" in traceback


def test_a_run_that_nobody_knows(serve: Serve) -> None:
    site = serve(shop())
    assert site.get(f"/tasks/{uuid4()}").status_code == 404
    assert site.get(f"/tasks/{uuid4()}", params={"wait": 20}).status_code == 404
    assert site.get(f"/tasks/{uuid4()}/events").status_code == 404
    assert site.post(f"/tasks/{uuid4()}/cancel").status_code == 404
    assert site.get("/tasks/not-an-id").status_code == 422


def test_forty_who_wait_hold_no_thread_and_are_answered_as_soon_as_the_run_ends(serve: Serve, tmp_path: Path) -> None:
    site = serve(shop())
    run = ordered(site.post("/sync", params={"folder": str(tmp_path), "steps": 1}))
    told: list[dict[str, Any]] = []

    def wait() -> None:
        told.append(site.get(run, params={"wait": 60}).json())  # the client itself gives up after 40 seconds

    waiting = [threading.Thread(target=wait) for _ in range(40)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: watched() == 1, 30)
    for _ in range(10):  # the pool of threads has fewer than forty
        assert site.get(run).json()["ended"] is False
        assert site.get("/ping").json() == "pong"
    (tmp_path / "step-1").touch()
    for thread in waiting:
        thread.join()
    assert [run["result"] for run in told] == [1] * 40
    wait_until(lambda: watched() == 0, 30)


def test_a_wait_is_bounded_and_leaves_nothing_behind(fleet: Fleet, serve: Serve, tmp_path: Path) -> None:
    site = serve(shop(longest_wait_seconds=0.05))
    run = ordered(site.post("/sync", params={"folder": str(tmp_path), "steps": 1}))
    assert site.get(run, params={"wait": 3600}).json()["ended"] is False
    assert site.get(run, params={"wait": -1}).status_code == 422
    run_id = run.rpartition("/")[2]
    wait_until(lambda: not fleet.open_futures.is_open(run_id), 30)
    assert watched() == 0
    assert site.post(f"{run}/cancel").status_code == 202


@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
def test_a_wait_ends_as_soon_as_its_client_has_left(kind: str, serve: Serve, tmp_path: Path) -> None:
    waits_long = {"longest_wait_seconds": 3600}
    app = shop(**waits_long) if kind == "fastapi" else Starlette(routes=[*for_starlette.task_routes(**waits_long)])
    site = serve(app)
    run_id = step.delay(str(tmp_path), 1).run_id
    with pytest.raises(httpx.ReadTimeout):
        site.get(f"/tasks/{run_id}", params={"wait": 3600}, timeout=0.3)
    wait_until(lambda: watched() == 0, 30, "nobody is waited for")
    (tmp_path / "step-1").touch()
    assert site.get(f"/tasks/{run_id}", params={"wait": 30}).json()["ended"] is True


def test_a_run_is_cancelled_wherever_it_is(serve: Serve, tmp_path: Path) -> None:
    site = serve(shop(longest_wait_seconds=40))
    run = ordered(site.post("/sync", params={"folder": str(tmp_path), "steps": 2}))
    (tmp_path / "step-1").touch()
    wait_until(lambda: site.get(run).json()["progress"], 40, "it runs")
    answer = site.post(f"{run}/cancel")
    assert answer.status_code == 202
    assert answer.json()["name"] in ("Cancelling", "Cancelled")
    assert site.get(run, params={"wait": 40}).json()["state"] == "CANCELLED"
    again = site.post(f"{run}/cancel")
    assert (again.status_code, again.json()["state"]) == (200, "CANCELLED")


def test_while_the_server_is_away_the_answer_is_503(fleet: Fleet, serve: Serve, tmp_path: Path) -> None:
    nowhere = Fleet(Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0"))
    site = serve(shop())
    before = use_fleet(nowhere)
    try:
        order = {"folder": str(tmp_path), "steps": 1}
        run = f"/tasks/{uuid4()}"
        answers = [
            site.post("/sync", params=order),
            site.post("/async", params=order),
            site.get(run),
            site.get(run, params={"wait": 10}),
            site.get(f"{run}/events"),
            site.post(f"{run}/cancel"),
        ]
    finally:
        use_fleet(before)
        nowhere.close()
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0


def test_a_full_queue_is_503_as_well(fleet: Fleet, server: ServerProcess, serve: Serve, tmp_path: Path) -> None:
    narrow = Fleet(Settings(redis_url=server.url, namespace=fleet.settings.namespace + "-narrow", queue_limit=1))
    site = serve(shop())
    before = use_fleet(narrow)
    try:
        order = {"folder": str(tmp_path), "steps": 1}
        ordered(site.post("/sync", params=order))
        refused = [site.post(address, params=order) for address in ("/sync", "/async")]
    finally:
        use_fleet(before)
        narrow.close()
    assert [answer.status_code for answer in refused] == [503, 503]
    assert "too much is waiting" in refused[0].json()["detail"]
    assert int(refused[0].headers["Retry-After"]) > 0


def test_a_server_that_does_not_answer_keeps_no_other_request_waiting(
    server_program: Path, fleet: Fleet, serve: Serve, tmp_path: Path
) -> None:
    frozen = ServerProcess(server_program).start()
    patient = Fleet(Settings(redis_url=frozen.url, command_timeout_seconds=30))
    app, asked, statuses = shop(), threading.Event(), list[int]()

    @app.post("/orders", status_code=202)
    async def order() -> Response:
        asked.set()
        return accepted(await step_in_a_loop.adelay(str(tmp_path), 1))

    site = serve(app)
    before = use_fleet(patient)
    try:
        ordered(site.post("/orders"))
        asked.clear()
        frozen.freeze()
        asking = threading.Thread(target=lambda: statuses.append(site.post("/orders").status_code))
        asking.start()
        assert asked.wait(30)
        for _ in range(20):
            assert site.get("/ping").json() == "pong"
        assert statuses == []
        frozen.thaw()
        asking.join()
    finally:
        use_fleet(before)
        patient.close()
        frozen.close()
    assert statuses == [202]


def test_who_may_ask_is_for_the_application_to_say(serve: Serve, tmp_path: Path) -> None:
    def only_ann(request: Request) -> None:
        if request.headers.get("x-user") != "ann":
            raise HTTPException(403, "not yours")

    site = serve(shop(dependencies=[Depends(only_ann)]))
    run = ordered(site.post("/sync", params={"folder": str(tmp_path), "steps": 1}))
    answers = [site.get(run), site.get(f"{run}/events"), site.post(f"{run}/cancel")]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert site.get(run, headers={"x-user": "ann"}).json()["ended"] is False
    assert site.post(f"{run}/cancel", headers={"x-user": "ann"}).status_code == 202


def test_the_openapi_document_tells_of_it(serve: Serve) -> None:
    document = serve(shop(prefix="/jobs")).get("/openapi.json").json()
    assert set(document["paths"]) >= {"/jobs/{run_id}", "/jobs/{run_id}/events", "/jobs/{run_id}/cancel"}
    shown = document["paths"]["/jobs/{run_id}"]["get"]["responses"]
    assert shown["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/TaskStatus"}
    assert {"404", "503"} <= set(shown)


def test_a_plain_starlette_application(serve: Serve, tmp_path: Path) -> None:
    seen: list[str] = []

    async def authorize(request: Request, run_id: str) -> None:
        seen.append(run_id)
        if "x-user" not in request.headers:
            raise HTTPException(401, "who are you?")

    async def order(request: Request) -> JSONResponse:
        return for_starlette.accepted(await step_in_a_loop.adelay(str(tmp_path), 1), request, prefix="/jobs")

    routes = [Route("/orders", order, methods=["POST"]), *for_starlette.task_routes("/jobs", authorize=authorize)]
    app = Starlette(routes=routes)
    site = serve(app)
    run = site.post("/orders").headers["Location"]
    assert site.get(run).status_code == 401
    assert seen == [run.rpartition("/")[2]]
    site.headers["x-user"] = "ann"
    (tmp_path / "step-1").touch()
    assert site.get(run, params={"wait": 30}).json()["result"] == 1
    assert site.get("/jobs/nonsense").status_code == 422
    assert site.get(run, params={"wait": "long"}).status_code == 422
    assert site.post(f"{run}/cancel").status_code == 200
    assert "event: end" in site.get(f"{run}/events").text
