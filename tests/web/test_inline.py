"""The kit in users' tests: inside ``inline()``, with no server and no worker."""

from __future__ import annotations

from uuid import uuid4

from fastapi import FastAPI, Response
from starlette.testclient import TestClient

from orchestrator import get_run_logger, progress, task
from orchestrator.contrib.fastapi import accepted, lifespan, tasks_router
from orchestrator.testing import inline


@task
def greet(name: str) -> str:
    progress.set(1, total=1)
    get_run_logger().info("greeting %s", name)
    return f"hello {name}"


app = FastAPI(lifespan=lifespan)
app.include_router(tasks_router())


@app.post("/greetings/{name}", status_code=202)
def order(name: str) -> Response:
    return accepted(greet.delay(name))


@app.post("/async-greetings/{name}", status_code=202)
async def order_async(name: str) -> Response:
    return accepted(await greet.adelay(name))


def test_an_application_is_tested_without_a_server() -> None:
    with inline(), TestClient(app) as client:
        for address in ("/greetings/ann", "/async-greetings/ann"):
            run = client.post(address).headers["Location"]
            told = client.get(run, params={"wait": 5}).json()
            assert (told["state"], told["result"], told["progress"]["fraction"]) == ("COMPLETED", "hello ann", 1)
            events = [line for line in client.get(f"{run}/events").text.splitlines() if line.startswith("event")]
            assert events == ["event: snapshot", "event: log", "event: end"]
            assert client.post(f"{run}/cancel").status_code == 200
        assert client.get(f"/tasks/{uuid4()}").status_code == 404
