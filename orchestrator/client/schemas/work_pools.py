"""Work pools, their queues and workers, as the API has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from orchestrator.client.schemas.base import ApiObject, IdentifiedObject
from orchestrator.client.schemas.run_objects import FlowRun


class WorkPool(IdentifiedObject):
    """A work pool. Follows Prefect 3; ``waiting`` is ours: its runs that could begin now."""

    name: str
    type: str
    description: str | None = None
    base_job_template: dict[str, Any] = Field(default_factory=dict)
    is_paused: bool = False
    concurrency_limit: int | None = None
    active_slots: int | None = None
    status: str | None = None
    default_queue_id: UUID | None = None
    waiting: int = 0


class WorkQueue(IdentifiedObject):
    """A queue of a work pool. Follows Prefect 3; ``waiting`` and ``queue``, its name in the store, are ours."""

    name: str
    description: str | None = ""
    is_paused: bool = False
    concurrency_limit: int | None = None
    active_slots: int | None = None
    priority: int = 1
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    status: str | None = None
    last_polled: datetime | None = None
    waiting: int = 0
    queue: str | None = None


class Worker(IdentifiedObject):
    """A live worker. Follows Prefect 3; ``host``, ``pid``, ``queues`` and ``running`` are ours."""

    name: str
    work_pool_id: UUID
    last_heartbeat_time: datetime | None = None
    heartbeat_interval_seconds: float | None = None
    status: str = "ONLINE"
    host: str = ""
    pid: int = 0
    queues: list[str] = Field(default_factory=list)
    running: list[str] = Field(default_factory=list)


class WorkerFlowRunResponse(ApiObject):
    """A flow run that waits in a pool, and in which queue."""

    work_pool_id: UUID
    work_queue_id: UUID | None = None
    flow_run: FlowRun
