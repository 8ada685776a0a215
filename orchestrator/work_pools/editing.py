"""What people do to work pools: make, change, pause, limit, delete them; their queues are in ``queue_editing``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from brokers.errors import BrokerConflict
from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import declare, declared, forget
from orchestrator.concurrency.deployment_limits import limit_of_pool, limit_of_work_queue
from orchestrator.deployments.names import check_name, pool_id_of, queue_of_pool
from orchestrator.deployments.pools import DEFAULT_QUEUE, KIND
from orchestrator.work_pools.base_templates import TYPES, check_template
from orchestrator.work_pools.lookup import find_pool, pool_named
from orchestrator.work_pools.record import WorkPool, WorkQueue

TRIES: Final = 10  # others may write the same pool meanwhile


def create_pool(
    fleet: Fleet,
    name: str,
    kind: str,
    *,
    description: str | None = None,
    base_job_template: Mapping[str, Any] | None = None,
    paused: bool = False,
    overwrite: bool = False,
) -> WorkPool:
    """Make a pool with its queue ``default``.

    Args:
        fleet: whose.
        name: 1 to 200 characters.
        kind: one of :data:`orchestrator.work_pools.base_templates.TYPES`.
        description, base_job_template, paused: see :class:`WorkPool`.
        overwrite: change these of one that is there, its queues and limits stay.

    Raises:
        ValueError: a name, type or template that cannot be one.
        BrokerConflict: it is there. BrokerError: the server does not answer.
    """
    check_name(name, "work pool")
    if kind not in TYPES:
        raise ValueError(f"{kind!r} is no type of work pools; known: {', '.join(TYPES)}")
    template = check_template(base_job_template) if base_job_template is not None else None
    pool_id = pool_id_of(fleet.settings.namespace, name)
    if overwrite and pool_named(fleet.broker, name) is not None:
        made = change_pool(
            fleet,
            name,
            lambda pool: replace(
                pool, type=kind, description=description, base_job_template=template, paused=paused, trouble=""
            ),
        )
    else:
        queues = (WorkQueue(DEFAULT_QUEUE, queue_of_pool(pool_id, 0)),)
        made = WorkPool(pool_id, name, kind, description, template, queues, paused, time.time())
        try:
            fleet.broker.documents.write(KIND, pool_id, made.document(), name=name, only_new=True)
        except BrokerConflict:
            raise BrokerConflict(
                f"Work pool {name!r} already exists: change it with `orchestrator work-pool update {name}`, or create "
                "it with --overwrite"
            ) from None
    apply_pauses(fleet, made)
    return made


def change_pool(fleet: Fleet, name: str, change: Callable[[WorkPool], WorkPool]) -> WorkPool:
    """Write what ``change`` makes of a pool. Raises ObjectNotFound, BrokerConflict, BrokerError, what it raises."""
    for _ in range(TRIES):
        before = find_pool(fleet.broker, name)
        after = change(before)
        with suppress(BrokerConflict):
            generation = fleet.broker.documents.write(KIND, before.id, after.document(), expected=before.generation)
            return replace(after, generation=generation)
    raise BrokerConflict(f"work pool {name!r} is being changed by others all the time: try again")


def update_pool(
    fleet: Fleet, name: str, *, description: str | None = None, base_job_template: Mapping[str, Any] | None = None
) -> WorkPool:
    """Change what is given. Raises ValueError: the template cannot be one; and as :func:`change_pool`."""
    given = {"description": description, "base_job_template": base_job_template}
    return edit_pool(fleet, name, {key: value for key, value in given.items() if value is not None})


def edit_pool(fleet: Fleet, name: str, changes: Mapping[str, Any]) -> WorkPool:
    """Change ``description`` or ``base_job_template``; ``None`` takes them away. Raises as :func:`update_pool`."""
    template = changes.get("base_job_template")
    checked = dict(changes) if template is None else {**changes, "base_job_template": check_template(template)}
    return change_pool(fleet, name, lambda pool: replace(pool, **checked))


def pause_pool(fleet: Fleet, name: str, paused: bool) -> bool:
    """Hand out none of its runs any more, or again; returns whether that changed. Runs at work go on."""
    was = find_pool(fleet.broker, name).paused
    pool = change_pool(fleet, name, lambda before: replace(before, paused=paused))
    apply_pauses(fleet, pool)  # also if it was so already: whoever paused it may have died before
    return was is not paused


def apply_pauses(fleet: Fleet, pool: WorkPool) -> None:
    """Have the store hand out, or hold back, what it and its queues are set to. Raises BrokerError."""
    queues = fleet.broker.queues
    for each in pool.queues:
        (queues.pause if pool.paused or each.paused else queues.resume)(each.queue)


def limit_pool(fleet: Fleet, pool: WorkPool, limit: int | None, work_queue: str | None = None) -> None:
    """How many runs of a pool, or of one of its queues, are at work at once; ``None`` lifts it.

    Holds at once, also for what waits. Raises ValueError: no number from 0 on; BrokerError.
    """
    name = limit_of_work_queue(pool.id, work_queue) if work_queue else limit_of_pool(pool.id)
    if limit is not None:
        declare(fleet, name, limit=limit, active=True)
    else:
        forget(fleet, [name])


def limits_of(fleet: Fleet, pool_ids: list[str]) -> list[int | None]:
    """The limits of pools. Raises BrokerError."""
    return _limits(fleet, [limit_of_pool(pool_id) for pool_id in pool_ids])


def limits_of_queues(fleet: Fleet, pool: WorkPool) -> list[int | None]:
    """The limits of a pool's queues. Raises BrokerError."""
    return _limits(fleet, [limit_of_work_queue(pool.id, each.name) for each in pool.queues])


def _limits(fleet: Fleet, names: list[str]) -> list[int | None]:
    return [one.limit if one is not None and one.active else None for one in declared(fleet, names)]


def delete_pool(fleet: Fleet, name: str) -> None:
    """Forget a pool with its limits. Runs that wait stay in its queues, for a pool of the same name.

    Raises:
        ObjectNotFound: there is none. BrokerError: the server does not answer.
    """
    pool = find_pool(fleet.broker, name)
    fleet.broker.documents.delete(KIND, [pool.id])
    forget(fleet, [limit_of_pool(pool.id), *(limit_of_work_queue(pool.id, each.name) for each in pool.queues)])
    for each in pool.queues:
        fleet.broker.queues.resume(each.queue)
