"""The routes for tasks, for FastAPI: with models, so that they are in the application's OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.params import Depends

from orchestrator.contrib.starlette.endpoints import HEARTBEAT_SECONDS, LONGEST_WAIT_SECONDS, Endpoints
from orchestrator.contrib.starlette.status import TaskStatus

Wait = Annotated[float, Query(ge=0, description="seconds to wait for the end; the answer comes when the run ends")]
LastEventId = Annotated[str, Header(alias="Last-Event-ID", description="the id of the last event that was received")]
_NOT_THERE: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "no such run, or its result has expired"},
    503: {"description": "the server of the tasks is away; see Retry-After"},
}
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "events: snapshot, then log, progress and state, then end",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "this client has had the end"},
    **_NOT_THERE,
}


def tasks_router(
    prefix: str = "/tasks",
    *,
    dependencies: Sequence[Depends] | None = None,
    tracebacks: bool = False,
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    tags: Sequence[str] = ("tasks",),
) -> APIRouter:
    """``app.include_router(tasks_router())``: status, events and cancelling of runs by their ids.

    ``GET <prefix>/{id}`` (``?wait=20`` waits for the end), ``GET <prefix>/{id}/events``, ``POST <prefix>/{id}/cancel``.

    Args:
        prefix: where.
        dependencies: your own authorization, such as ``[Depends(current_user)]``; a dependency may take ``run_id``.
            Whoever knows an id may ask unless you say otherwise.
        tracebacks: whether errors are told with their tracebacks.
        longest_wait_seconds: who wants to wait longer is answered then.
        heartbeat_seconds: after so much silence an event stream sends a comment, for the proxies between.
        tags: in the OpenAPI document.
    """
    router = APIRouter(prefix=prefix, dependencies=dependencies, tags=list(tags))
    answers = Endpoints(tracebacks, longest_wait_seconds, heartbeat_seconds)

    @router.get("/{run_id}", response_model=TaskStatus, responses=_NOT_THERE)
    async def show_task(run_id: UUID, wait: Wait = 0.0) -> Response:
        return await answers.show(str(run_id), wait)

    @router.get("/{run_id}/events", response_class=Response, responses=_EVENTS)
    async def task_events(run_id: UUID, last_event_id: LastEventId = "") -> Response:
        """Server-sent events: a snapshot first, the end last; a client that comes back gets what it has missed."""
        return await answers.events(str(run_id), last_event_id)

    @router.post("/{run_id}/cancel", response_model=TaskStatus, status_code=202, responses=_NOT_THERE)
    async def cancel_task(run_id: UUID) -> Response:
        """Asks the run to stop; 200 if it has ended anyway."""
        return await answers.cancel(str(run_id))

    return router
