"""What limits the runs of a deployment; also in ``objects``, as in Prefect."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class ConcurrencyLimitStrategy(StrEnum):
    """What becomes of a run of a deployment whose limit is reached when the run is due.

    >>> ConcurrencyLimitStrategy("CANCEL_NEW")
    <ConcurrencyLimitStrategy.CANCEL_NEW: 'CANCEL_NEW'>
    """

    ENQUEUE = "ENQUEUE"
    """It waits for a place, in order of arrival (state AwaitingConcurrencySlot)."""

    CANCEL_NEW = "CANCEL_NEW"
    """It is cancelled. Counted are the runs that are due and not over, those that wait included."""


class ConcurrencyLimitConfig(BaseModel):
    """How many runs of a deployment may run at once, as in Prefect; a bare number means ENQUEUE.

    Attributes:
        limit: how many; 0: none may start.
        collision_strategy: what becomes of a run that is due while the limit is reached.
        grace_period_seconds: how long a run may keep its place before its infrastructure has started, 60 to 86,400; for
            work pools that start some. Absent: as long as a worker's lease.

    Raises:
        pydantic.ValidationError: a value is outside of these.

    >>> ConcurrencyLimitConfig(limit=1, collision_strategy="CANCEL_NEW").collision_strategy.value
    'CANCEL_NEW'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(ge=0)
    collision_strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.ENQUEUE
    grace_period_seconds: int | None = Field(default=None, ge=60, le=86_400)


__all__ = ["ConcurrencyLimitConfig", "ConcurrencyLimitStrategy"]
