"""The states by name: a constructor for each, which gives the type and the name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.runs.states.state import State
from orchestrator.runs.states.types import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
)


def Completed(*, message: str | None = None, data: Any = None, name: str = "Completed", **fields: Any) -> State[Any]:
    """The run returned ``data``. ``fields`` are further fields of :class:`State`, here and below."""
    return State(COMPLETED, name, message, None, data, **fields)


def Cached(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Completed with an earlier run's result, without being called."""
    return State(COMPLETED, "Cached", message, None, data, **fields)


def Failed(*, message: str | None = None, data: Any = None, name: str = "Failed", **fields: Any) -> State[Any]:
    """The run raised ``data``, or says in ``message`` why it did not work."""
    return State(FAILED, name, message, None, data, **fields)


def TimedOut(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Failed because it ran longer than it may."""
    return State(FAILED, "TimedOut", message, None, data, **fields)


def Crashed(*, message: str | None = None, data: Any = None, name: str = "Crashed", **fields: Any) -> State[Any]:
    """The infrastructure failed: a worker died, a record was lost. Never the user's exception."""
    return State(CRASHED, name, message, None, data, **fields)


def Cancelled(*, message: str | None = None, data: Any = None, name: str = "Cancelled", **fields: Any) -> State[Any]:
    """Someone asked the run to stop, and it has."""
    return State(CANCELLED, name, message, None, data, **fields)


def Expired(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Cancelled because it was still queued when its ``expires`` had passed (ours)."""
    return State(CANCELLED, "Expired", message, None, data, **fields)


def Cancelling(*, message: str | None = None, data: Any = None, name: str = "Cancelling", **fields: Any) -> State[Any]:
    """Someone asked the running run to stop; it has not yet."""
    return State(CANCELLING, name, message, None, data, **fields)


def Pending(*, message: str | None = None, data: Any = None, name: str = "Pending", **fields: Any) -> State[Any]:
    """Accepted and waiting for a worker, or for the runs it depends on."""
    return State(PENDING, name, message, None, data, **fields)


def Submitting(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Pending: on its way to where it will run (Prefect's; no run of ours has it by itself)."""
    return State(PENDING, "Submitting", message, None, data, **fields)


def InfrastructurePending(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Pending: what will run it is being made (Prefect's; no run of ours has it by itself)."""
    return State(PENDING, "InfrastructurePending", message, None, data, **fields)


def NotReady(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Will never run: an upstream did not complete. ``data`` may be that upstream's run id."""
    return State(PENDING, "NotReady", message, None, data, **fields)


def Running(*, message: str | None = None, data: Any = None, name: str = "Running", **fields: Any) -> State[Any]:
    """A worker is executing it."""
    return State(RUNNING, name, message, None, data, **fields)


def Retrying(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Running again after an attempt that failed."""
    return State(RUNNING, "Retrying", message, None, data, **fields)


def Paused(*, message: str | None = None, data: Any = None, name: str = "Paused", **fields: Any) -> State[Any]:
    """Stands still until someone resumes it."""
    return State(PAUSED, name, message, None, data, **fields)


def Suspended(*, message: str | None = None, data: Any = None, **fields: Any) -> State[Any]:
    """Paused, and nothing waits for it in a process (Prefect's; no run of ours has it by itself)."""
    return State(PAUSED, "Suspended", message, None, data, **fields)


def Scheduled(
    *,
    scheduled_time: datetime | timedelta | None = None,
    message: str | None = None,
    data: Any = None,
    name: str = "Scheduled",
    **fields: Any,
) -> State[Any]:
    """To be run at ``scheduled_time``: an aware datetime, or a timedelta from now (default: now).

    Raises:
        ValueError: the datetime has no time zone.
    """
    when = _moment(scheduled_time)
    return State(SCHEDULED, name, message, None, data, scheduled_time=when, **fields)


def AwaitingRetry(
    *,
    scheduled_time: datetime | timedelta | None = None,
    message: str | None = None,
    data: Any = None,
    **fields: Any,
) -> State[Any]:
    """An attempt failed; the next one is at ``scheduled_time``."""
    return Scheduled(scheduled_time=scheduled_time, message=message, data=data, name="AwaitingRetry", **fields)


def Late(
    *, scheduled_time: datetime | timedelta | None = None, message: str | None = None, data: Any = None, **fields: Any
) -> State[Any]:
    """Scheduled, and its time has passed (Prefect's; no run of ours has it by itself)."""
    return Scheduled(scheduled_time=scheduled_time, message=message, data=data, name="Late", **fields)


def AwaitingConcurrencySlot(
    *, scheduled_time: datetime | timedelta | None = None, message: str | None = None, data: Any = None, **fields: Any
) -> State[Any]:
    """Scheduled until a limit lets it run (Prefect's; no run of ours has it by itself)."""
    name = "AwaitingConcurrencySlot"
    return Scheduled(scheduled_time=scheduled_time, message=message, data=data, name=name, **fields)


def _moment(value: datetime | timedelta | None) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"scheduled_time={value!r} has no time zone: write datetime.now(UTC) or tzinfo=...")
        return value
    return datetime.now(UTC) + (value or timedelta(0))
