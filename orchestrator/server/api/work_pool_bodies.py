"""What goes into the JSON API about work pools and what comes out, in the shapes of Prefect 3's clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.inspection import Redaction, WorkerView
from orchestrator.observability.redaction import REDACTED
from orchestrator.server.api.definition_responses import moment_of
from orchestrator.server.api.definitions import Empty, Name, Offset
from orchestrator.server.api.filters import IdFilter, NameFilter
from orchestrator.server.api.requests import Filter, Limit, Model, Moment, Names
from orchestrator.server.api.responses import FlowRun
from orchestrator.server.definition_views import WorkPoolView, WorkQueueView

Description = Annotated[str, Field(max_length=10_000)]
Template = Annotated[dict[str, Any], Field(description="Empty: that of the type")]
Places = Annotated[int, Field(ge=0, le=1_000_000)]
Priority = Annotated[int, Field(ge=1, le=1_000_000, description="1 is read first")]


class PoolFields(Model):
    """What both bodies about a pool have."""

    description: Description | None = None
    is_paused: bool | None = None
    base_job_template: Template | None = None
    concurrency_limit: Places | None = Field(default=None, description="Runs at once; `null`: not limited")
    storage_configuration: Empty | None = None

    def changes(self) -> dict[str, Any]:
        """What was sent, as ``WorkPoolQueries.change`` takes it.

        Raises:
            ValueError: the template has stars in it, as the API shows secrets.
        """
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if REDACTED in json.dumps(sent.get("base_job_template"), ensure_ascii=False):
            raise ValueError(f"base_job_template: it holds {REDACTED!r}, which the API shows instead of secrets")
        found: dict[str, Any] = {name: sent[name] for name in ("description", "base_job_template") if name in sent}
        if "base_job_template" in found:
            found["base_job_template"] = found["base_job_template"] or None
        if sent.get("is_paused") is not None:
            found["paused"] = sent["is_paused"]
        if "concurrency_limit" in sent:
            found["limit"] = sent["concurrency_limit"]
        return found


class PoolCreate(PoolFields):
    """A new pool."""

    name: Name
    type: Annotated[str, Field(max_length=200)] = "process"


class PoolUpdate(PoolFields):
    """What is to be changed of a pool; what is left out stays."""


class QueueFields(Model):
    """What both bodies about a queue have."""

    description: Description | None = None
    is_paused: bool | None = None
    concurrency_limit: Places | None = Field(default=None, description="Its runs at once; `null`: not limited")
    priority: Priority | None = None
    filter: None = None

    def changes(self) -> dict[str, Any]:
        """What was sent, as ``WorkPoolQueries.change_queue`` takes it."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        found = {"description": sent["description"]} if "description" in sent else {}
        if "concurrency_limit" in sent:
            found["limit"] = sent["concurrency_limit"]
        renamed = {"is_paused": "paused", "priority": "priority"}
        return found | {ours: sent[name] for name, ours in renamed.items() if sent.get(name) is not None}


class QueueCreate(QueueFields):
    """A new queue."""

    name: Name


class QueueUpdate(QueueFields):
    """What is to be changed of a queue; what is left out stays. A queue keeps its name."""

    name: Name | None = Field(default=None, description="The one that it has, or nothing")
    last_polled: Moment | None = Field(default=None, description="Without effect: workers are asked")


class PoolFilter(Filter):
    """Which pools."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    type: NameFilter | None = None

    def fits(self, pool: Any) -> bool:
        """Whether a :class:`~orchestrator.work_pools.record.WorkPool` is wanted."""
        return (
            (self.id is None or self.id.fits(pool.id))
            and (self.name is None or self.name.fits(pool.name))
            and (self.type is None or self.type.fits(pool.type))
        )


class PoolsQuery(Model):
    """Which of them; what is left out means all."""

    work_pools: PoolFilter | None = None


class PoolsList(PoolsQuery):
    """Which, and how many."""

    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0


class QueueFilter(Filter):
    """Which queues."""

    id: IdFilter | None = None
    name: NameFilter | None = None

    def fits(self, queue: WorkQueueView) -> bool:
        """Whether it is wanted."""
        return (self.id is None or self.id.fits(queue.id)) and (self.name is None or self.name.fits(queue.queue.name))


class QueuesList(Model):
    """Which, and how many."""

    work_queues: QueueFilter | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0


class WorkerStatusFilter(Filter):
    """One of these."""

    any_: Annotated[list[Literal["ONLINE", "OFFLINE"]], Field(max_length=2)] | None = None


class WorkerFilter(Filter):
    """Which workers; those that are known are online."""

    status: WorkerStatusFilter | None = None


class WorkersList(Model):
    """Which, and how many."""

    workers: WorkerFilter | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0


class ScheduledRunsOfPool(Model):
    """Which of the runs that wait."""

    work_queue_names: Names | None = None
    scheduled_before: Moment | None = None
    scheduled_after: Moment | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")


class WorkPool(Model):
    """A work pool."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    description: str | None
    type: str
    base_job_template: dict[str, Any]
    is_paused: bool
    concurrency_limit: int | None
    active_slots: int | None = Field(description="Runs at work; `null` where it is not limited")
    status: str
    default_queue_id: str
    storage_configuration: dict[str, Any]
    waiting: int = Field(description="Runs that could begin now")
    trouble: str | None = Field(description="Why it cannot be read here")


def pool_of(view: WorkPoolView, redaction: Redaction) -> WorkPool:
    """A pool as the API shows it."""
    pool = view.pool
    return WorkPool(
        id=pool.id,
        created=moment_of(pool.created_at),
        updated=moment_of(pool.written_at_ms / 1000),
        name=pool.name,
        description=pool.description,
        type=pool.type,
        base_job_template=redaction.of(pool.template),
        is_paused=pool.paused,
        concurrency_limit=view.limit,
        active_slots=view.active_slots,
        status=view.status if not pool.trouble else "NOT_READY",
        default_queue_id=next(queue.id for queue in view.queues if queue.queue.name == "default"),
        storage_configuration={},
        waiting=view.waiting,
        trouble=pool.trouble or None,
    )


class WorkQueue(Model):
    """A queue of a work pool."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    description: str
    is_paused: bool
    concurrency_limit: int | None
    active_slots: int | None
    priority: int
    work_pool_id: str
    work_pool_name: str
    status: str
    last_polled: datetime | None = Field(description="The last heartbeat of a worker that reads it")
    filter: None
    waiting: int = Field(description="Runs that could begin now")
    queue: str = Field(description="Its name in the store")


def queue_of(view: WorkPoolView, queue: WorkQueueView) -> WorkQueue:
    """A queue as the API shows it."""
    beats = [worker.beat_age_seconds for worker in view.workers if queue.queue.queue in worker.queues]
    return WorkQueue(
        id=queue.id,
        created=moment_of(view.pool.created_at),
        updated=moment_of(view.pool.written_at_ms / 1000),
        name=queue.queue.name,
        description=queue.queue.description or "",
        is_paused=queue.queue.paused,
        concurrency_limit=queue.limit,
        active_slots=queue.active_slots,
        priority=queue.queue.priority,
        work_pool_id=view.pool.id,
        work_pool_name=view.pool.name,
        status=queue.status,
        last_polled=moment_of(datetime.now(UTC).timestamp() - min(beats)) if beats else None,
        filter=None,
        waiting=queue.waiting,
        queue=queue.queue.queue,
    )


class Worker(Model):
    """A live worker of a pool."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    work_pool_id: str
    last_heartbeat_time: datetime | None
    heartbeat_interval_seconds: float
    status: Literal["ONLINE"]
    host: str
    pid: int
    queues: list[str]
    running: list[str] = Field(description="Ids of flow runs")


def worker_of(view: WorkPoolView, worker: WorkerView, the_id: str, beat_seconds: float) -> Worker:
    """A worker as the API shows it."""
    beaten = moment_of(datetime.now(UTC).timestamp() - worker.beat_age_seconds)
    names = {queue.queue.queue: queue.queue.name for queue in view.queues}
    return Worker(
        id=the_id,
        created=worker.started,
        updated=beaten,
        name=worker.worker or worker.name,
        work_pool_id=view.pool.id,
        last_heartbeat_time=beaten,
        heartbeat_interval_seconds=beat_seconds,
        status="ONLINE",
        host=worker.host,
        pid=worker.pid,
        queues=[names[queue] for queue in worker.queues if queue in names],
        running=worker.running,
    )


class WorkerFlowRun(Model):
    """A flow run that waits, and where."""

    work_pool_id: str
    work_queue_id: str | None
    flow_run: FlowRun
