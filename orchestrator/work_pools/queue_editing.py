"""What people do to the queues of a work pool: add, change, pause, delete them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.client.fleet import Fleet
from orchestrator.concurrency.declared import forget
from orchestrator.concurrency.deployment_limits import limit_of_work_queue
from orchestrator.deployments.names import check_name, queue_of_pool
from orchestrator.deployments.pools import DEFAULT_QUEUE
from orchestrator.errors import BrokerConflict, ObjectNotFound
from orchestrator.work_pools.editing import apply_pauses, change_pool
from orchestrator.work_pools.lookup import find_pool
from orchestrator.work_pools.members import members_of
from orchestrator.work_pools.record import WorkPool, WorkQueue, in_order


def create_queue(
    fleet: Fleet,
    pool_name: str,
    name: str,
    priority: int | None = None,
    *,
    description: str | None = None,
    paused: bool = False,
) -> WorkQueue:
    """Add a queue to a pool; by default it is read after those that are there.

    Raises:
        ValueError: a name or priority that cannot be one. BrokerConflict: it is there.
        ObjectNotFound: there is no such pool. BrokerError: the server does not answer.
    """
    check_name(name, "work queue")
    check_priority(priority)

    def with_queue(pool: WorkPool) -> WorkPool:
        if any(each.name == name for each in pool.queues):
            raise BrokerConflict(f"Work pool {pool_name!r} has a queue {name!r} already")
        place = priority or max(each.priority for each in pool.queues) + 1
        taken = {each.queue for each in pool.queues}
        number = next(n for n in range(len(taken) + 1) if queue_of_pool(pool.id, n) not in taken)
        made = WorkQueue(name, queue_of_pool(pool.id, number), place, paused, description)
        return replace(pool, queues=in_order([*pool.queues, made]))

    pool = change_pool(fleet, pool_name, with_queue)
    apply_pauses(fleet, pool)
    return queue_named(pool, name)


def check_priority(priority: int | None) -> None:
    """Raises ValueError: it is given, and no number from 1 on."""
    if priority is not None and priority < 1:
        raise ValueError(f"priority {priority}: a number from 1 on, 1 is read first")


def change_queue(fleet: Fleet, pool_name: str, name: str, **changes: Any) -> WorkQueue:
    """Change what is given of a queue: ``priority``, ``paused``, ``description``.

    Workers read in the order of a new priority from their next start on.

    Raises:
        ObjectNotFound: there is no such pool or queue. ValueError: a priority that cannot be one. BrokerError.
    """
    check_priority(changes.get("priority"))
    queue_named(find_pool(fleet.broker, pool_name), name)
    pool = change_pool(fleet, pool_name, _each(name, lambda queue: replace(queue, **changes)))
    apply_pauses(fleet, pool)
    return queue_named(pool, name)


def pause_queue(fleet: Fleet, pool_name: str, name: str, paused: bool) -> bool:
    """Pause one queue of a pool, or end that; returns whether that changed."""
    was = queue_named(find_pool(fleet.broker, pool_name), name).paused
    change_queue(fleet, pool_name, name, paused=paused)
    return was is not paused


def delete_queue(fleet: Fleet, pool_name: str, name: str) -> None:
    """Take a queue out of a pool, with its limit. No run is lost by it: one that is still needed stays.

    Raises:
        BrokerConflict: it is ``default``, deployments name it, or runs wait in it.
        ObjectNotFound: there is no such pool or queue. BrokerError: the server does not answer.
    """
    pool = find_pool(fleet.broker, pool_name)
    queue = queue_named(pool, name)
    if name == DEFAULT_QUEUE:
        raise BrokerConflict(f"the queue {name!r} of work pool {pool_name!r} is there as long as the pool")
    members = members_of(fleet.broker, pool_name)
    users = [record.full_name for record in members if record.work_queue_name == name]
    if users:
        named = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
        raise BrokerConflict(f"the deployments {named} name the queue {name!r}: deploy them to another queue first")
    waiting = waiting_in(fleet, [queue.queue])[queue.queue]
    if waiting:
        raise BrokerConflict(f"{waiting:,} runs wait in the queue {name!r}: let them run, or cancel them, first")
    change_pool(fleet, pool_name, lambda one: replace(one, queues=tuple(q for q in one.queues if q.name != name)))
    forget(fleet, [limit_of_work_queue(pool.id, name)])
    fleet.broker.queues.resume(queue.queue)


def waiting_in(fleet: Fleet, queues: list[str]) -> dict[str, int]:
    """How many runs wait in queues of the store, those that wait for a moment not among them. Raises BrokerError."""
    figures = {figure.name: figure.waiting for figure in fleet.broker.figures.queues(queues)}
    return {queue: figures.get(queue, 0) for queue in queues}


def _each(name: str, change: Callable[[WorkQueue], WorkQueue]) -> Callable[[WorkPool], WorkPool]:
    """What changes one queue of a pool, and puts all in order."""
    return lambda pool: replace(pool, queues=in_order(change(q) if q.name == name else q for q in pool.queues))


def queue_named(pool: WorkPool, name: str) -> WorkQueue:
    """A queue of a pool. Raises ObjectNotFound, with the command that makes it."""
    for each in pool.queues:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in pool.queues)
    raise ObjectNotFound(
        f"Work pool {pool.name!r} has no queue {name!r}; it has: {known}. Make it: orchestrator work-queue create "
        f"{name} --pool {pool.name}"
    )
