"""The task routes for Starlette."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.contrib.starlette.endpoints import HEARTBEAT_SECONDS, MAX_WAIT_SECONDS, Endpoints

Authorize = Callable[[Request, str], Awaitable[Any] | Any]


def task_routes(
    prefix: str = "/tasks",
    *,
    authorize: Authorize | None = None,
    tracebacks: bool = False,
    longest_wait_seconds: float = MAX_WAIT_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> list[Route]:
    """``Starlette(routes=[*task_routes(), ...])``: status, events and cancellation of runs by id.

    ``GET <prefix>/{id}`` (``?wait=20`` waits for the end), ``GET <prefix>/{id}/events``, ``POST <prefix>/{id}/cancel``.

    Args:
        prefix: the path of the routes.
        authorize: called with the request and the run's id before anything is shown; raises Starlette's
            ``HTTPException`` to refuse. Without one, whoever knows an id may ask.
        tracebacks: whether errors are shown with their tracebacks.
        longest_wait_seconds: the upper bound of ``?wait=``; a longer wait is cut to it.
        heartbeat_seconds: a silent event stream sends a comment this often, to keep proxies from closing it.
    """
    endpoints = Endpoints(tracebacks, longest_wait_seconds, heartbeat_seconds)

    async def show(request: Request, run_id: str) -> Response:
        wait = _seconds(request.query_params.get("wait", "0"))
        if wait is None:
            return JSONResponse({"detail": "wait must be a number of seconds, 0 or more"}, 422)
        return await endpoints.show(run_id, wait, request.receive)

    async def events(request: Request, run_id: str) -> Response:
        return await endpoints.events(run_id, request.headers.get("last-event-id", ""))

    async def cancel(request: Request, run_id: str) -> Response:
        return await endpoints.cancel(run_id)

    return [
        Route(f"{prefix}/{{run_id}}", _authorized(show, authorize), methods=["GET"]),
        Route(f"{prefix}/{{run_id}}/events", _authorized(events, authorize), methods=["GET"]),
        Route(f"{prefix}/{{run_id}}/cancel", _authorized(cancel, authorize), methods=["POST"]),
    ]


def _authorized(
    handler: Callable[[Request, str], Awaitable[Response]], authorize: Authorize | None
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            run_id = str(UUID(request.path_params["run_id"]))
        except ValueError:
            return JSONResponse({"detail": "this is not a run id"}, 422)
        if authorize is not None:
            verdict = authorize(request, run_id)
            if inspect.isawaitable(verdict):
                await verdict
        return await handler(request, run_id)

    return endpoint


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
