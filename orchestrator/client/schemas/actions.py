"""What is sent to create and change objects; names as in Prefect's ``prefect.client.schemas.actions``."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.client.schemas.schedules import SCHEDULE_TYPES


class Action(BaseModel):
    """What is sent; fields that nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class DeploymentScheduleCreate(Action):
    """A schedule of a deployment."""

    schedule: SCHEDULE_TYPES
    active: bool = True
    max_scheduled_runs: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    slug: str | None = None


class DeploymentUpdate(Action):
    """What is to be changed of a deployment; what is left out stays."""

    version: str | None = None
    description: str | None = None
    paused: bool | None = None
    schedules: list[DeploymentScheduleCreate] | None = None
    parameters: dict[str, Any] | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    enforce_parameter_schema: bool | None = None
    tags: list[str] | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None
    entrypoint: str | None = None
    path: str | None = None
    concurrency_limit: int | None = None
    concurrency_options: dict[str, Any] | None = None


class GlobalConcurrencyLimitCreate(Action):
    """A limit by its name."""

    name: str
    limit: int = Field(ge=0)
    active: bool = True
    slot_decay_per_second: float = Field(default=0.0, ge=0)


class GlobalConcurrencyLimitUpdate(Action):
    """What is to be changed of a limit."""

    limit: int | None = Field(default=None, ge=0)
    active: bool | None = None
    slot_decay_per_second: float | None = Field(default=None, ge=0)


class LogCreate(Action):
    """A line for the log of a run."""

    name: str = "orchestrator.api"
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class WorkPoolUpdate(Action):
    """What is to be changed of a work pool; what is left out stays."""

    description: str | None = None
    is_paused: bool | None = None
    base_job_template: dict[str, Any] | None = None
    concurrency_limit: int | None = Field(default=None, ge=0)


class WorkPoolCreate(WorkPoolUpdate):
    """A new work pool."""

    name: str
    type: str = "process"


class WorkQueueUpdate(Action):
    """What is to be changed of a work queue; what is left out stays."""

    description: str | None = None
    is_paused: bool | None = None
    concurrency_limit: int | None = Field(default=None, ge=0)
    priority: int | None = Field(default=None, ge=1)


class WorkQueueCreate(WorkQueueUpdate):
    """A new work queue."""

    name: str


class VariableCreate(Action):
    """A variable."""

    name: str
    value: Any
    tags: list[str] | None = None


class VariableUpdate(Action):
    """What is to be changed of the variable of that name."""

    name: str
    value: Any = None
    tags: list[str] | None = None


class ArtifactCreate(Action):
    """An artifact; of a table ``data`` is rows, or JSON text of them."""

    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactUpdate(Action):
    """What is to be changed of an artifact."""

    data: Any = None
    description: str | None = None
    metadata_: dict[str, str] | None = None
