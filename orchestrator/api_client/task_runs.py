"""Task runs, and log lines of all runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack
from uuid import UUID

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import Sections, body_of
from orchestrator.client.schemas.actions import LogCreate
from orchestrator.client.schemas.filters import LogFilter
from orchestrator.client.schemas.objects import Log, OrchestrationResult, TaskRun
from orchestrator.client.schemas.sorting import LogSort, TaskRunSort
from orchestrator.client.schemas.states import state_from
from orchestrator.states import State


async def read_task_runs(
    api: Api,
    /,
    *,
    sort: TaskRunSort | None = None,
    limit: int | None = None,
    offset: int = 0,
    **filters: Unpack[Sections],
) -> list[TaskRun]:
    """The task runs that match, the newest first; at most 200 (50 unless ``limit`` says)."""
    body = body_of(filters, sort=sort, limit=limit, offset=offset)
    return await api.many(TaskRun, Request("POST", "/task_runs/filter", body))


async def count_task_runs(api: Api, /, **filters: Unpack[Sections]) -> int:
    """How many task runs match (ours)."""
    return int(await api.value(Request("POST", "/task_runs/count", body_of(filters))))


async def read_task_run(api: Api, /, task_run_id: UUID | str) -> TaskRun:
    """A task run by its id. Raises ObjectNotFound."""
    return await api.one(
        TaskRun, Request("GET", path_of("task_runs", task_run_id)), missing=f"Task run {str(task_run_id)!r} not found!"
    )


async def set_task_run_state(
    api: Api, /, task_run_id: UUID | str, state: State[Any], force: bool = False
) -> OrchestrationResult:
    """As ``set_flow_run_state``, of a task run. Raises ObjectNotFound, ApiError."""
    body = {"state": state, "force": force}
    return await api.one(OrchestrationResult, Request("POST", path_of("task_runs", task_run_id, "set_state"), body))


async def delete_task_run(api: Api, /, task_run_id: UUID | str) -> None:
    """Delete one that has ended. Raises ObjectNotFound; ApiError: it has not ended."""
    await api.ask(Request("DELETE", path_of("task_runs", task_run_id)))


async def read_task_run_states(api: Api, /, task_run_id: UUID | str) -> list[State[Any]]:
    """The states that are known of a task run, the oldest first. Raises ObjectNotFound."""
    request = Request("GET", "/task_run_states/", query={"task_run_id": str(task_run_id)})
    return [state_from(each) for each in await api.value(request, missing=f"Task run {str(task_run_id)!r} not found!")]


async def read_logs(
    api: Api,
    /,
    log_filter: LogFilter | None = None,
    limit: int | None = None,
    offset: int | None = None,
    sort: LogSort | None = None,
) -> list[Log]:
    """Log lines of the runs that the filter names, the oldest first. Raises ApiError: it names none."""
    body = body_of({}, logs=log_filter or LogFilter(), limit=limit, offset=offset, sort=sort)
    return await api.many(Log, Request("POST", "/logs/filter", body))


async def create_logs(api: Api, /, logs: Iterable[LogCreate | Mapping[str, Any]]) -> None:
    """Add lines to the logs of runs. Raises ObjectNotFound: one of the runs is not known; none is kept then."""
    await api.ask(Request("POST", "/logs/", list(logs)))
