"""Work pools: listed with status, queues, limits and workers; made, changed, paused, limited, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID, uuid5

from orchestrator.concurrency.declared import declared
from orchestrator.concurrency.deployment_limits import limit_of_pool, limit_of_work_queue
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.inspection import WorkerView, workers_of
from orchestrator.server.definition_views import WorkPoolPage, WorkPoolView, WorkQueueView
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE
from orchestrator.work_pools import editing, queue_editing
from orchestrator.work_pools.lookup import newest_pools, pool_named
from orchestrator.work_pools.members import members_of
from orchestrator.work_pools.record import NOT_READY, PAUSED, READY, WorkPool, WorkQueue

MAX_LISTED: Final = 10_000


class WorkPoolQueries:
    """The work pools of the fleet. Changes raise ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def newest(self, first: int = 0, limit: int = PAGE) -> WorkPoolPage:
        """A page of all, what was written last first."""
        if self._context.reach is not None:
            every = self.all()
            return WorkPoolPage(self.views(every[first : first + page_size(limit)]), len(every))
        total, pools = newest_pools(self._context.fleet.broker, first, page_size(limit))
        return WorkPoolPage(self.views(pools), total)

    def all(self) -> list[WorkPool]:
        """All of them, up to 10,000, what was written last first."""
        return [pool for pool in newest_pools(self._context.fleet.broker, 0, MAX_LISTED)[1] if self._has(pool.name)]

    def get(self, name: str) -> WorkPoolView | None:
        """One by its name; ``None`` if there is none."""
        pool = pool_named(self._context.fleet.broker, name) if self._has(name) else None
        return self.views([pool])[0] if pool is not None else None

    def _has(self, name: str) -> bool:
        return self._context.reach is None or self._context.reach.has_pool(name)

    def _must_act_on(self, name: str) -> None:
        """Raises ReadOnly; ObjectNotFound: it is out of reach."""
        self._context.must_write()
        self._context.must_reach("such work pool", self._has(name))

    def views(self, pools: Sequence[WorkPool]) -> list[WorkPoolView]:
        """Pools as people see them."""
        if not pools:
            return []
        fleet, workers = self._context.fleet, workers_of(self._context.fleet)
        names = [name for pool in pools for name in _limits_of(pool)]
        limits = dict(zip(names, declared(fleet, names), strict=True))
        waiting = queue_editing.waiting_in(fleet, [queue.queue for pool in pools for queue in pool.queues])
        return [_view(pool, limits, waiting, workers) for pool in pools]

    def members(self, name: str) -> list[DeploymentRecord]:
        """The deployments of a pool, what was written last first."""
        return members_of(self._context.fleet.broker, name) if self._has(name) else []

    # -- what people do to them --------------------------------------------------------------------------------------

    def create(self, name: str, kind: str, *, limit: int | None = None, **more: Any) -> WorkPool:
        """Make one. Arguments and errors are those of ``work_pools.editing.create_pool``."""
        self._must_act_on(name)
        made = editing.create_pool(self._context.fleet, name, kind, **more)
        if limit is not None:
            editing.limit_pool(self._context.fleet, made, limit)
        return made

    def change(self, name: str, changes: Mapping[str, Any]) -> None:
        """Change what is given: ``description``, ``base_job_template``, ``paused``, ``limit``.

        Raises:
            ValueError: a value that cannot be one. ObjectNotFound: there is no such pool.
        """
        self._must_act_on(name)
        fleet = self._context.fleet
        fields = {key: value for key, value in changes.items() if key in ("description", "base_job_template")}
        pool = editing.edit_pool(fleet, name, fields)
        if "paused" in changes:
            editing.pause_pool(fleet, name, changes["paused"])
        if "limit" in changes:
            editing.limit_pool(fleet, pool, changes["limit"])

    def delete(self, name: str) -> None:
        """Forget one; its runs that wait stay, for a pool of the same name. Raises ObjectNotFound."""
        self._must_act_on(name)
        editing.delete_pool(self._context.fleet, name)

    def create_queue(self, pool: str, name: str, *, limit: int | None = None, **more: Any) -> None:
        """Add a queue. Arguments and errors are those of ``work_pools.queue_editing.create_queue``."""
        self._must_act_on(pool)
        queue_editing.create_queue(self._context.fleet, pool, name, **more)
        if limit is not None:
            self._limit_queue(pool, name, limit)

    def change_queue(self, pool: str, name: str, changes: Mapping[str, Any]) -> None:
        """Change what is given of a queue: ``description``, ``priority``, ``paused``, ``limit``.

        Raises:
            ValueError: a value that cannot be one. ObjectNotFound: there is no such pool or queue.
        """
        self._must_act_on(pool)
        fields = {key: value for key, value in changes.items() if key != "limit"}
        queue_editing.change_queue(self._context.fleet, pool, name, **fields)
        if "limit" in changes:
            self._limit_queue(pool, name, changes["limit"])

    def _limit_queue(self, pool: str, name: str, limit: int | None) -> None:
        found = pool_named(self._context.fleet.broker, pool)
        if found is not None:
            editing.limit_pool(self._context.fleet, found, limit, name)

    def delete_queue(self, pool: str, name: str) -> None:
        """Take a queue out. Errors are those of ``work_pools.queue_editing.delete_queue``."""
        self._must_act_on(pool)
        queue_editing.delete_queue(self._context.fleet, pool, name)


def queue_id(pool_id: str, name: str) -> str:
    """The id that a queue of a pool has for Prefect's clients.

    >>> queue_id("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "default")[:8]
    '916180a7'
    """
    return str(uuid5(UUID(pool_id), name))


def _limits_of(pool: WorkPool) -> list[str]:
    return [limit_of_pool(pool.id), *(limit_of_work_queue(pool.id, queue.name) for queue in pool.queues)]


def _view(
    pool: WorkPool, limits: Mapping[str, Any], waiting: Mapping[str, int], workers: Sequence[WorkerView]
) -> WorkPoolView:
    read = {queue.queue for queue in pool.queues}
    mine = _whole([worker for worker in workers if read & set(worker.queues)])
    polled = {name for worker in mine for name in worker.queues}
    own, *others = (_in_force(limits.get(name)) for name in _limits_of(pool))
    queues = [
        WorkQueueView(
            queue,
            queue_id(pool.id, queue.name),
            _status(pool, queue, queue.queue in polled),
            *found,
            waiting[queue.queue],
        )
        for queue, found in zip(pool.queues, others, strict=True)
    ]
    return WorkPoolView(pool, pool.status(polled), *own, queues, mine)


def _whole(processes: Sequence[WorkerView]) -> list[WorkerView]:
    """Workers, each with what all of its processes run."""
    found: dict[str, WorkerView] = {}
    for process in processes:
        name = process.worker or process.name
        before = found.get(name, replace(process, running=[]))
        beat = min(before.beat_age_seconds, process.beat_age_seconds)
        found[name] = replace(before, running=[*before.running, *process.running], beat_age_seconds=beat)
    return list(found.values())


def _status(pool: WorkPool, queue: WorkQueue, is_polled: bool) -> str:
    return PAUSED if queue.paused or pool.paused else READY if is_polled else NOT_READY


def _in_force(limit: Any) -> tuple[int | None, int | None]:
    """The places of a limit, and how many are taken; ``None``: it is not limited."""
    return (limit.limit, int(limit.use.taken)) if limit is not None and limit.active else (None, None)
