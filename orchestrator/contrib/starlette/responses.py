"""Responses to clients: 202 accepted, 404 unknown run, 503 unavailable."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.errors import BrokerError, BrokerUnavailable, QueueFull, StoreFull
from orchestrator.futures import PrefectFuture

RETRY_AFTER_SECONDS: Final = 5
UNAVAILABLE: Final = (BrokerUnavailable, QueueFull, StoreFull)


class Links(BaseModel):
    """URLs of the run."""

    status: str
    events: str
    cancel: str


class Accepted(BaseModel):
    """An accepted call."""

    id: str
    links: Links


def accepted(future: PrefectFuture[Any], request: Request | None = None, *, prefix: str = "/tasks") -> JSONResponse:
    """``return accepted(my_task.delay(...))``: 202 with the run's id; its URL in ``Location``.

    Args:
        future: the future of the call.
        request: needed where the application is mounted below a path (``root_path``).
        prefix: the prefix of the task routes.
    """
    root = request.scope.get("root_path", "") if request is not None else ""
    address = f"{root}{prefix}/{future.run_id}"
    links = Links(status=address, events=f"{address}/events", cancel=f"{address}/cancel")
    body = Accepted(id=future.run_id, links=links)
    return JSONResponse(body.model_dump(), 202, {"Location": address})


def unavailable(error: BrokerError) -> JSONResponse:
    """503 with ``Retry-After`` for a call that was not accepted; with run ids for one that may have been."""
    if error.queued_run_ids or error.doubtful_run_ids:  # a retry might run it twice
        run_ids = [*error.queued_run_ids, *error.doubtful_run_ids]
        return JSONResponse({"detail": "the work may have been taken; ask for these runs", "run_ids": run_ids}, 503)
    if isinstance(error, QueueFull):
        detail = "too much is waiting already; try again later"
    else:
        detail = "work cannot be taken now; try again later"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def no_such_run() -> JSONResponse:
    """404 for an unknown or expired run."""
    return JSONResponse({"detail": "there is no such run, or its result has expired"}, 404)


def add_exception_handlers(app: Starlette) -> None:
    """Respond 503 with ``Retry-After`` instead of 500 when the store is unreachable or full, or a queue is full."""

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, BrokerError)
        return unavailable(error)

    for kind in UNAVAILABLE:
        app.add_exception_handler(kind, handle)
