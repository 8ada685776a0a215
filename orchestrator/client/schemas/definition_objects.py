"""Deployments, schedules, work pools and limits, as the API has them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from orchestrator.client.schemas.base import IdentifiedObject
from orchestrator.client.schemas.schedules import SCHEDULE_TYPES


class DeploymentSchedule(IdentifiedObject):
    """A schedule of a deployment. Follows Prefect 3; ``status``, ``reason`` and ``next_ticks`` are ours.

    Attributes:
        schedule: a ``CronSchedule``, ``IntervalSchedule`` or ``RRuleSchedule``; what cannot be read here as it is.
    """

    deployment_id: UUID | None = None
    schedule: SCHEDULE_TYPES | dict[str, Any]
    active: bool = True
    max_scheduled_runs: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    slug: str | None = None
    status: str | None = None
    reason: str | None = None
    next_ticks: list[datetime] = Field(default_factory=list)


class Deployment(IdentifiedObject):
    """A deployment. Follows Prefect 3 (``DeploymentResponse``)."""

    name: str
    flow_id: UUID
    flow_name: str | None = None
    version: str | None = None
    description: str | None = None
    paused: bool = False
    status: str | None = None
    schedules: list[DeploymentSchedule] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    labels: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    parameter_openapi_schema: dict[str, Any] | None = None
    enforce_parameter_schema: bool = True
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)
    entrypoint: str | None = None
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    concurrency_limit: int | None = None
    concurrency_options: dict[str, Any] | None = None


DeploymentResponse = Deployment


class GlobalConcurrencyLimit(IdentifiedObject):
    """A limit by its name. Follows Prefect 3 (``GlobalConcurrencyLimitResponse``)."""

    name: str
    limit: int
    active: bool = True
    active_slots: int = 0
    slot_decay_per_second: float = 0.0


GlobalConcurrencyLimitResponse = GlobalConcurrencyLimit
