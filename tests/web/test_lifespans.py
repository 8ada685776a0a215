"""What happens before an application serves, and after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from orchestrator.client.fleet import Fleet, fleet_is_ready, known_fleet, use_fleet
from orchestrator.contrib.fastapi import lifespan, lifespan_with
from orchestrator.settings import Settings, use
from tests.support.servers import free_port


def test_it_connects_before_the_first_request_and_closes_what_it_has_opened(fleet: Fleet) -> None:
    before = use_fleet(None)
    try:
        with TestClient(FastAPI(lifespan=lifespan)):
            ours = known_fleet()
            assert ours is not None
            assert fleet_is_ready(with_inbox=True)
            assert ours.broker.inboxes.is_listening(ours.process)
        assert known_fleet() is None
        assert not fleet.broker.inboxes.is_listening(ours.process)
    finally:
        use_fleet(before)


def test_a_fleet_that_was_there_before_stays(fleet: Fleet) -> None:
    with TestClient(FastAPI(lifespan=lifespan)):
        assert known_fleet() is fleet
    assert known_fleet() is fleet
    assert fleet.broker.health.is_reachable()


def test_a_server_that_is_not_there_does_not_keep_the_application_from_serving(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    app = FastAPI(lifespan=lifespan)

    @app.get("/ping")
    def ping() -> str:
        return "pong"

    before = use_fleet(None)
    try:
        with use(settings), TestClient(app) as client:
            assert client.get("/ping").json() == "pong"
    finally:
        use_fleet(before)
    assert "cannot send calls yet" in caplog.text


def test_a_lifespan_of_ones_own_is_kept_with_its_state(fleet: Fleet) -> None:
    told: list[Any] = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        told.append(fleet_is_ready(with_inbox=True))
        yield {"greeting": "hello"}
        told.append("closed")

    app = FastAPI(lifespan=lifespan_with(mine))

    @app.get("/greeting")
    def greeting(request: Request) -> str:
        return str(request.state.greeting)

    with TestClient(app) as client:
        assert client.get("/greeting").json() == "hello"
    assert told == [True, "closed"]
