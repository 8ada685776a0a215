"""The limits of a run of a deployment: its deployment's, its work pool's and its work queue's.

Whoever makes an envelope of such a run merges what this returns into its extras::

    extras |= extras_of(config, deployment_id, pool_id=None, work_queue=None)

``config`` is what the deployment says now (``None``: no limit). It is the fallback only: the limit in force is that of
the store (:func:`orchestrator.concurrency.declared.set_deployment_limit`), read when a run is due and at each fetch, so
that a change holds for what waits already. Therefore the extras are given to runs of deployments without a limit, too.
"""

from __future__ import annotations

from typing import Any

from brokers.schema import Extra
from orchestrator.client.schemas.limits import ConcurrencyLimitConfig, ConcurrencyLimitStrategy


def config_of(value: int | ConcurrencyLimitConfig | None) -> ConcurrencyLimitConfig | None:
    """A limit as users write it; a number waits (ENQUEUE), as in Prefect.

    Raises:
        ValueError: it is negative, or neither a number nor a :class:`ConcurrencyLimitConfig`.

    >>> config_of(3).limit, config_of(None)
    (3, None)
    """
    if value is None or isinstance(value, ConcurrencyLimitConfig):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"concurrency_limit={value!r}: a number from 0 on, a ConcurrencyLimitConfig, or None")
    return ConcurrencyLimitConfig(limit=value)


def limit_of_deployment(deployment_id: str) -> str:
    """The name of a deployment's limit."""
    return f"deployment:{deployment_id}"


def limit_of_pool(pool_id: str) -> str:
    """The name of a work pool's limit."""
    return f"pool:{pool_id}"


def limit_of_work_queue(pool_id: str, work_queue: str) -> str:
    """The name of the limit of a pool's queue."""
    return f"queue:{pool_id}:{work_queue}"


def extras_of(
    config: int | ConcurrencyLimitConfig | None,
    deployment_id: str,
    *,
    pool_id: str | None = None,
    work_queue: str | None = None,
) -> dict[str, Any]:
    """Extras of the envelope of a run of a deployment.

    >>> extras_of(ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW"), "d1")
    {'l': 'deployment:d1|1', 'C': 'deployment:d1|1|C'}
    >>> extras_of(None, "d1", pool_id="p1", work_queue="fast")["l"].splitlines()
    ['deployment:d1|', 'pool:p1|', 'queue:p1:fast|']
    """
    limit = config_of(config)
    own = f"{limit_of_deployment(deployment_id)}|{'' if limit is None else limit.limit}"
    cancels = limit is not None and limit.collision_strategy is ConcurrencyLimitStrategy.CANCEL_NEW
    names = [own]
    if pool_id is not None:
        names.append(f"{limit_of_pool(pool_id)}|")
        if work_queue is not None:
            names.append(f"{limit_of_work_queue(pool_id, work_queue)}|")
    return {Extra.LIMIT: "\n".join(names), Extra.ADMISSION: f"{own}|{'C' if cancels else ''}"}
