"""Which queue of a work pool the runs of a deployment are put into."""

from __future__ import annotations

from typing import Final

import msgpack

from brokers.base import Broker
from orchestrator.deployments.names import queue_of_pool
from orchestrator.errors import ObjectNotFound

KIND: Final = "pool"
DEFAULT_QUEUE: Final = "default"


def queue_in_pool(broker: Broker, pool_name: str, work_queue_name: str | None = None) -> str:
    """The store's name of a queue of a work pool.

    A pool's document has the table of its queues in ``queues``: a packed table from names to such names.

    Raises:
        ObjectNotFound: there is no such pool, with the command that makes one; or it has no such queue.
        BrokerError: the server does not answer.
    """
    (pool_id,) = broker.documents.find(KIND, [pool_name])
    (document,) = broker.documents.read(KIND, [pool_id]) if pool_id is not None else [None]
    if pool_id is None or document is None:
        raise ObjectNotFound(
            f"Work pool {pool_name!r} not found! Make it: orchestrator work-pool create {pool_name} --type process"
        )
    queues = queue_table(document.fields.get("queues", b""))
    wanted = work_queue_name or DEFAULT_QUEUE
    if wanted in queues:
        return queues[wanted]
    if wanted == DEFAULT_QUEUE:
        return queue_of_pool(pool_id, 0)
    known = ", ".join(sorted(queues)) or DEFAULT_QUEUE
    raise ObjectNotFound(
        f"Work pool {pool_name!r} has no queue {wanted!r}; it has: {known}. Make it: orchestrator work-queue create "
        f"{wanted} --pool {pool_name}"
    )


def queue_table(packed: bytes) -> dict[str, str]:
    """The store's names of a pool's queues by their names, whatever became of them."""
    try:
        table = msgpack.unpackb(packed)
    except Exception:  # msgpack raises half a dozen kinds for foreign bytes
        return {}
    if not isinstance(table, dict):
        return {}
    return {name: queue for name, queue in table.items() if isinstance(name, str) and isinstance(queue, str)}
