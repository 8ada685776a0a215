"""The task routes for FastAPI, with models, so that they appear in the application's OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.params import Depends

from orchestrator.contrib.starlette.endpoints import HEARTBEAT_SECONDS, MAX_WAIT_SECONDS, Endpoints
from orchestrator.contrib.starlette.status import TaskStatus

Wait = Annotated[
    float, Query(ge=0, description="seconds to wait for the run to end; it responds as soon as the run has")
]
LastEventId = Annotated[str, Header(alias="Last-Event-ID", description="the id of the last event received")]
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "no such run, or its result has expired"},
    503: {"description": "the task store is unavailable; see Retry-After"},
}
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "events: snapshot, then log, progress and state, then end",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "this client has already received the end event"},
    **_ERRORS,
}


def tasks_router(
    prefix: str = "/tasks",
    *,
    dependencies: Sequence[Depends] | None = None,
    tracebacks: bool = False,
    longest_wait_seconds: float = MAX_WAIT_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    tags: Sequence[str] = ("tasks",),
) -> APIRouter:
    """``app.include_router(tasks_router())``: status, events and cancellation of runs by id.

    ``GET <prefix>/{id}`` (``?wait=20`` waits for the end), ``GET <prefix>/{id}/events``, ``POST <prefix>/{id}/cancel``.

    Args:
        prefix: the path of the routes.
        dependencies: your own authorization, such as ``[Depends(current_user)]``; a dependency may take ``run_id``.
            Without one, whoever knows an id may ask.
        tracebacks: whether errors are shown with their tracebacks.
        longest_wait_seconds: the upper bound of ``?wait=``; a longer wait is cut to it.
        heartbeat_seconds: a silent event stream sends a comment this often, to keep proxies from closing it.
        tags: the tags in the OpenAPI document.
    """
    router = APIRouter(prefix=prefix, dependencies=dependencies, tags=list(tags))
    endpoints = Endpoints(tracebacks, longest_wait_seconds, heartbeat_seconds)

    @router.get("/{run_id}", response_model=TaskStatus, responses=_ERRORS)
    async def show_task(request: Request, run_id: UUID, wait: Wait = 0.0) -> Response:
        return await endpoints.show(str(run_id), wait, request.receive)

    @router.get("/{run_id}/events", response_class=Response, responses=_EVENTS)
    async def task_events(run_id: UUID, last_event_id: LastEventId = "") -> Response:
        """Server-sent events: a snapshot first, the end last; a client that reconnects gets what it missed."""
        return await endpoints.events(str(run_id), last_event_id)

    @router.post("/{run_id}/cancel", response_model=TaskStatus, status_code=202, responses=_ERRORS)
    async def cancel_task(run_id: UUID) -> Response:
        """Requests cancellation; 200 if the run has already ended."""
        return await endpoints.cancel(str(run_id))

    return router
