"""Answers to clients: accepted, unknown, not now."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import BrokerError, BrokerUnavailable, QueueFull, StoreFull
from orchestrator.futures import PrefectFuture

RETRY_AFTER_SECONDS: Final = 5
NOT_NOW: Final = (BrokerUnavailable, QueueFull, StoreFull)


class Links(BaseModel):
    """Where to go on."""

    status: str
    events: str
    cancel: str


class Accepted(BaseModel):
    """A call was accepted; it runs, or will."""

    id: str
    links: Links


def accepted(future: PrefectFuture[Any], request: Request | None = None, *, prefix: str = "/tasks") -> JSONResponse:
    """``return accepted(my_task.delay(...))``: 202, with the run's id, and its address in ``Location``.

    Args:
        future: the handle.
        request: needed where the application is mounted below a path (``root_path``).
        prefix: that of the routes for tasks.
    """
    root = request.scope.get("root_path", "") if request is not None else ""
    address = f"{root}{prefix}/{future.run_id}"
    links = Links(status=address, events=f"{address}/events", cancel=f"{address}/cancel")
    body = Accepted(id=future.run_id, links=links)
    return JSONResponse(body.model_dump(), 202, {"Location": address})


def not_now(error: BrokerError) -> JSONResponse:
    """503 for a call that could not be taken, with ``Retry-After``: nothing was half-sent, so trying again is right."""
    if isinstance(error, QueueFull):
        detail = "too much is waiting already; try again later"
    else:
        detail = "work cannot be taken now; try again later"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def no_such_run() -> JSONResponse:
    """404."""
    return JSONResponse({"detail": "there is no such run, or its result has expired"}, 404)


def add_exception_handlers(app: Starlette) -> None:
    """Answer 503 with ``Retry-After``, instead of 500, where the server is away, or it or a queue is full."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, BrokerError)
        return not_now(error)

    for kind in NOT_NOW:
        app.add_exception_handler(kind, answer)
