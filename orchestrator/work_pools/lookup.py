"""Work pools in the store: found by name, listed, and whether somebody works for them."""

from __future__ import annotations

from brokers.base import Broker
from orchestrator.deployments.pools import KIND
from orchestrator.errors import ObjectNotFound
from orchestrator.serializers.documents import check_signed
from orchestrator.work_pools.record import WorkPool, pool_of


def pool_named(broker: Broker, name: str, *, to_run: bool = False) -> WorkPool | None:
    """A pool by its name; ``None`` if there is none.

    Args:
        broker, name: which.
        to_run: what it says is put around a run: then it must be signed where the fleet has a key for that.

    Raises:
        BrokerError: the server does not answer. UntrustedPayload: it is not signed.
    """
    (pool_id,) = broker.documents.find(KIND, [name])
    if pool_id is None:
        return None
    (document,) = broker.documents.read(KIND, [pool_id])
    if document is not None and to_run:
        check_signed(f"the work pool {name!r}", document.fields.get("d", b""))
    return pool_of(document)


def find_pool(broker: Broker, name: str) -> WorkPool:
    """A pool by its name.

    Raises:
        ObjectNotFound: there is none, with the command that makes it. BrokerError: the server does not answer.
    """
    pool = pool_named(broker, name)
    if pool is None:
        raise ObjectNotFound(
            f"Work pool {name!r} not found! Make it: orchestrator work-pool create {name} --type process"
        )
    return pool


def newest_pools(broker: Broker, first: int = 0, limit: int = 200) -> tuple[int, list[WorkPool]]:
    """How many there are, and some of them, those that were written last first. Raises BrokerError."""
    total, ids = broker.documents.newest(KIND, first, limit)
    found = (pool_of(document) for document in broker.documents.read(KIND, ids))
    return total, [pool for pool in found if pool is not None]
