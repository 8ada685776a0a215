"""Frozen view models of what people define: deployments, their versions, schedules, limits. Moments have a zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.concurrency.declared import DeclaredLimit
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.versions import Version
from orchestrator.inspection import WorkerView
from orchestrator.scheduling.record import ScheduleRecord
from orchestrator.server.view_models import FlowRunView
from orchestrator.work_pools.record import WorkPool, WorkQueue


@dataclass(frozen=True, slots=True)
class TickView:
    """A tick to come, in the zone of its schedule."""

    moment: datetime
    run_id: str  # that its run will have


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule.

    Attributes:
        record: as the store has it.
        name: of the deployment (``flow/deployment``) or of the schedule of a task.
        when: what it says, in short: ``0 9 * * * (Europe/Oslo)``.
        status: ``ACTIVE``, ``PAUSED`` (by hand, or by failures: ``record.reason``), ``OVER`` (no tick is left) or
            ``LEFT ALONE`` (it cannot be read here: ``record.trouble``).
        next_ticks: the first that will have runs; those of a paused deployment as if it were not.
        last_tick: the last one that had a run, in its zone.
        skipped: ticks to come that people took out.
        parameters: over those of the deployment; of a task's schedule they are not shown.
    """

    record: ScheduleRecord
    name: str
    when: str
    status: str
    next_ticks: list[TickView]
    last_tick: datetime | None
    skipped: list[datetime]
    parameters: dict[str, Any]

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def next_tick(self) -> datetime | None:
        """The first of them."""
        return self.next_ticks[0].moment if self.next_ticks else None

    @property
    def deployment_id(self) -> str | None:
        """Whose schedule it is; ``None`` for one of a task."""
        return self.record.owner[2:] if self.record.is_of_deployment else None


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Schedules, what was written last first."""

    schedules: list[ScheduleView]
    total: int


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A deployment in a list, and on its page.

    Attributes:
        record: as the store has it.
        status: ``READY`` (a live process takes its runs) or ``NOT_READY``; whether it is paused is in the record.
        schedules: all of them.
        last_runs: its newest flow runs.
    """

    record: DeploymentRecord
    status: str
    schedules: list[ScheduleView]
    last_runs: list[FlowRunView]

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def next_tick(self) -> datetime | None:
        """The first tick of all of its schedules; ``None`` while it is paused."""
        ticks = [schedule.next_tick for schedule in self.schedules if schedule.next_tick is not None]
        return None if self.record.paused else min(ticks, default=None)


@dataclass(frozen=True, slots=True)
class DeploymentPage:
    """Deployments in the order that was asked for."""

    deployments: list[DeploymentView]
    total: int


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of a deployment; ``has_code`` is ``False`` where its code is gone, so that it cannot be run."""

    version: Version
    is_current: bool
    has_code: bool


@dataclass(frozen=True, slots=True)
class LimitView:
    """A limit by its name, with who holds places and who waits.

    Attributes:
        limit: with its ``use``: holders, how many wait, and the first of those.
        about: for people: the name, or that of the deployment whose limit it is.
        deployment_id: whose limit it is, if it is one's.
    """

    limit: DeclaredLimit
    about: str
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True)
class LimitPage:
    """Limits, what was written last first."""

    limits: list[LimitView]
    total: int


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow; ``defined`` is ``None`` for one that has only been run."""

    id: str
    name: str
    deployment_ids: list[str]
    defined: datetime | None


@dataclass(frozen=True, slots=True)
class WorkQueueView:
    """A queue of a work pool.

    Attributes:
        id: made of the pool's and the name.
        status: ``READY`` while a live worker reads it, ``NOT_READY``, or ``PAUSED``, with its pool or alone.
        limit: its runs at once; ``None``: not limited.
        active_slots: its runs at work; ``None``: not limited, so not counted.
        waiting: runs that could begin now.
    """

    queue: WorkQueue
    id: str
    status: str
    limit: int | None
    active_slots: int | None
    waiting: int


@dataclass(frozen=True, slots=True)
class WorkPoolView:
    """A work pool with its queues, best first, and its live workers; the numbers as for a queue."""

    pool: WorkPool
    status: str
    limit: int | None
    active_slots: int | None
    queues: list[WorkQueueView]
    workers: list[WorkerView]

    @property
    def waiting(self) -> int:
        """Runs that could begin now."""
        return sum(queue.waiting for queue in self.queues)


@dataclass(frozen=True, slots=True)
class WorkPoolPage:
    """Work pools, what was written last first."""

    pools: list[WorkPoolView]
    total: int
