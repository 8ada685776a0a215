"""Work pools, their queues and workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from orchestrator.client.schemas.filters import WorkPoolFilter, WorkQueueFilter
from orchestrator.client.schemas.objects import Worker, WorkerFlowRunResponse, WorkPool, WorkQueue
from orchestrator.errors import ObjectNotFound

_FIELDS_OF_QUEUE = ("description", "is_paused", "concurrency_limit", "priority")


def _path(name: str, *more: str) -> str:
    return path_of("work_pools", name, *more)


def _sent(action: WorkPoolUpdate | Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given, ``None`` included: it takes a description or a limit away."""
    return dict(action) if isinstance(action, Mapping) else action.model_dump(mode="json", exclude_unset=True)


# -- pools -------------------------------------------------------------------------------------------------------------


async def read_work_pools(
    api: Api, /, limit: int | None = None, offset: int = 0, work_pool_filter: WorkPoolFilter | None = None
) -> list[WorkPool]:
    """Work pools, what was written last first."""
    body = given(limit=limit, offset=offset, work_pools=work_pool_filter)
    return await api.many(WorkPool, Request("POST", "/work_pools/filter", body))


async def read_work_pool(api: Api, /, work_pool_name: str) -> WorkPool:
    """A work pool. Raises ObjectNotFound."""
    missing = f"Work pool {work_pool_name!r} not found!"
    return await api.one(WorkPool, Request("GET", _path(work_pool_name)), missing=missing)


async def count_work_pools(api: Api, /, work_pool_filter: WorkPoolFilter | None = None) -> int:
    """How many work pools there are."""
    return int(await api.value(Request("POST", "/work_pools/count", given(work_pools=work_pool_filter))))


async def create_work_pool(
    api: Api, /, work_pool: WorkPoolCreate | Mapping[str, Any], overwrite: bool = False
) -> WorkPool:
    """Make a work pool; with ``overwrite`` change the one of its name.

    Raises:
        ApiConflict: there is one of that name. ApiError: a value cannot be one.
    """
    body = _sent(work_pool)
    name = str(body["name"])
    if overwrite:
        try:
            await read_work_pool(api, name)
        except ObjectNotFound:
            pass
        else:
            await update_work_pool(api, name, {key: body[key] for key in body if key not in ("name", "type")})
            return await read_work_pool(api, name)
    return await api.one(WorkPool, Request("POST", "/work_pools/", body), creates=True)


async def update_work_pool(api: Api, /, work_pool_name: str, work_pool: WorkPoolUpdate | Mapping[str, Any]) -> None:
    """Change what is given of a work pool. Raises ObjectNotFound; ApiError: a value cannot be one."""
    await api.ask(Request("PATCH", _path(work_pool_name), _sent(work_pool)))


async def delete_work_pool(api: Api, /, work_pool_name: str) -> None:
    """Forget a work pool; its runs wait for one of its name. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", _path(work_pool_name)))


async def read_workers_for_work_pool(
    api: Api, /, work_pool_name: str, limit: int | None = None, offset: int | None = None
) -> list[Worker]:
    """The live workers of a work pool. Raises ObjectNotFound."""
    body = given(limit=limit, offset=offset)
    return await api.many(Worker, Request("POST", _path(work_pool_name, "workers", "filter"), body))


async def get_scheduled_flow_runs_for_work_pool(
    api: Api,
    /,
    work_pool_name: str,
    work_queue_names: Sequence[str] | None = None,
    scheduled_before: datetime | None = None,
) -> list[WorkerFlowRunResponse]:
    """Runs that wait in a work pool, by the moment at which they are due. Nothing is claimed. Raises ObjectNotFound."""
    names = list(work_queue_names) if work_queue_names is not None else None
    body = given(work_queue_names=names, scheduled_before=scheduled_before)
    path = _path(work_pool_name, "get_scheduled_flow_runs")
    return await api.many(WorkerFlowRunResponse, Request("POST", path, body))


# -- queues ------------------------------------------------------------------------------------------------------------


async def read_work_queues(
    api: Api,
    /,
    work_pool_name: str | None = None,
    work_queue_filter: WorkQueueFilter | None = None,
    limit: int | None = None,
    offset: int | None = None,
) -> list[WorkQueue]:
    """The queues of a work pool, the one that is read first at the top; without a name, those of all."""
    body = given(work_queues=work_queue_filter, limit=limit, offset=offset)
    path = _path(work_pool_name, "queues", "filter") if work_pool_name else "/work_queues/filter"
    return await api.many(WorkQueue, Request("POST", path, body))


async def read_work_queue(api: Api, /, id: UUID | str) -> WorkQueue:
    """A queue by its id. Raises ObjectNotFound."""
    return await api.one(WorkQueue, Request("GET", path_of("work_queues", id)))


async def read_work_queue_by_name(api: Api, /, name: str, work_pool_name: str) -> WorkQueue:
    """A queue of a work pool. Raises ObjectNotFound."""
    missing = f"Work queue {name!r} of work pool {work_pool_name!r} not found!"
    return await api.one(WorkQueue, Request("GET", _path(work_pool_name, "queues", name)), missing=missing)


async def create_work_queue(
    api: Api,
    /,
    name: str,
    description: str | None = None,
    is_paused: bool | None = None,
    concurrency_limit: int | None = None,
    priority: int | None = None,
    work_pool_name: str = "default",
) -> WorkQueue:
    """Add a queue to a work pool; workers read it from their next start on.

    Raises:
        ApiConflict: the pool has one of that name. ObjectNotFound: there is no such pool.
    """
    body = given(
        name=name,
        description=description,
        is_paused=is_paused,
        concurrency_limit=concurrency_limit,
        priority=priority,
    )
    return await api.one(WorkQueue, Request("POST", _path(work_pool_name, "queues"), body), creates=True)


async def update_work_queue(api: Api, /, id: UUID | str, **fields: Any) -> None:
    """Change what is given of a queue: ``description``, ``is_paused``, ``concurrency_limit``, ``priority``.

    Raises:
        ValueError: nothing is given. TypeError: something else is. ObjectNotFound: there is no such queue.
    """
    if not fields:
        raise ValueError("update_work_queue() needs something to change")
    if unknown := set(fields) - set(_FIELDS_OF_QUEUE):
        raise TypeError(f"a work queue has no {', '.join(sorted(unknown))} to change: {', '.join(_FIELDS_OF_QUEUE)}")
    await api.ask(Request("PATCH", path_of("work_queues", id), fields))


async def delete_work_queue_by_id(api: Api, /, id: UUID | str) -> None:
    """Take a queue out of its pool. Raises ObjectNotFound; ApiConflict: it is still needed."""
    await api.ask(Request("DELETE", path_of("work_queues", id)))
