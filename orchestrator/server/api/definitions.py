"""What goes into the JSON API about deployments, schedules, flows and limits, in the shapes of Prefect 3's clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from orchestrator.deployments.envelope import RunWishes
from orchestrator.server.api import filters
from orchestrator.server.api.requests import Ids, Limit, Model, Moment, StateDetails
from orchestrator.server.api.schedule_requests import ScheduleCreate

Name = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str, Field(min_length=1, max_length=512)]
Offset = Annotated[int, Field(ge=0, le=100_000)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=200)]
Parameters = dict[str, Any]
Empty = Annotated[dict[str, Any], Field(max_length=0, description="Prefect's clients send it; not kept, so empty")]
EmptyList = Annotated[list[Any], Field(max_length=0, description="Prefect's clients send it; not kept, so empty")]


class ConcurrencyOptions(Model):
    """What happens at the limit."""

    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    grace_period_seconds: Annotated[int, Field(ge=60, le=86_400)] | None = None


class DeploymentUpdate(Model):
    """What is to be changed of a deployment; what is left out stays."""

    model_config = ConfigDict(protected_namespaces=())

    paused: bool | None = None
    description: Annotated[str, Field(max_length=100_000)] | None = None
    version: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Label of its version")
    entrypoint: Annotated[str, Field(pattern=r"^[^:]+:[^:]+$", max_length=1000)] | None = Field(
        default=None, description="`path/to/file.py:flow` or `module:flow`, as whoever runs it finds it"
    )
    parameters: Parameters | None = None
    parameter_openapi_schema: Parameters | None = None
    enforce_parameter_schema: bool | None = None
    tags: Tags | None = None
    work_pool_name: Name | None = None
    work_queue_name: Name | None = None
    job_variables: Parameters | None = None
    concurrency_limit: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    concurrency_options: ConcurrencyOptions | None = None
    schedules: Annotated[list[ScheduleCreate], Field(max_length=100)] | None = Field(
        default=None, description="All of its schedules"
    )
    path: Annotated[str, Field(max_length=1000)] | None = Field(default=None, description="Of the entrypoint")
    labels: Empty | None = None
    pull_steps: EmptyList | None = None
    storage_document_id: None = None
    infrastructure_document_id: None = None
    version_info: Parameters | None = Field(default=None, description="Without effect")

    def changes(self) -> dict[str, Any]:
        """As ``deployments.defining`` takes them: what was sent; ``null`` lifts a limit, and else changes nothing."""
        names = {"version": "label", "parameter_openapi_schema": "parameter_schema"}
        kept = (
            "paused", "description", "version", "parameters", "parameter_openapi_schema", "enforce_parameter_schema",
            "tags", "work_pool_name", "work_queue_name", "job_variables",
        )  # fmt: skip
        found = {names.get(name, name): getattr(self, name) for name in kept if getattr(self, name) is not None}
        if self.entrypoint is not None:
            found["entrypoint"] = f"{self.path.rstrip('/')}/{self.entrypoint}" if self.path else self.entrypoint
        if "concurrency_limit" in self.model_fields_set:
            found["concurrency_limit"] = self._limit()
        return found

    def _limit(self) -> dict[str, Any] | None:
        if self.concurrency_limit is None:
            return None
        options = self.concurrency_options or ConcurrencyOptions()
        return {"limit": self.concurrency_limit, **options.model_dump()}


class DeploymentCreate(DeploymentUpdate):
    """A deployment; one that is there is changed by what is given."""

    name: Name
    flow_id: Key


class FirstState(Model):
    """The first state of a run: Scheduled."""

    type: Literal["SCHEDULED", "PENDING"] = "SCHEDULED"
    name: Annotated[str, Field(max_length=200)] | None = None
    message: Annotated[str, Field(max_length=10_000)] | None = None
    data: Any = Field(default=None, description="Without effect")
    state_details: StateDetails | None = None
    timestamp: Moment | None = Field(default=None, description="Without effect")
    id: Key | None = Field(default=None, description="Without effect")


class FlowRunCreate(Model):
    """A run of a deployment; everything may be left out."""

    parameters: Parameters | None = None
    name: Name | None = None
    tags: Tags | None = None
    state: FirstState | None = None
    idempotency_key: Key | None = None
    parent_task_run_id: Key | None = None
    work_queue_name: None = None
    job_variables: Parameters | None = None
    enforce_parameter_schema: bool | None = None
    version: Annotated[int, Field(ge=1)] | Key | None = Field(default=None, description="Number or label; ours")
    priority: Literal["high", "default", "low"] | None = Field(default=None, description="Ours")
    context: Empty | None = None
    labels: Empty | None = None
    empirical_policy: Parameters | None = Field(default=None, description="Without effect: retries are the flow's")
    infrastructure_document_id: None = None

    def scheduled_time(self) -> datetime | None:
        """When it is to begin."""
        details = self.state.state_details if self.state is not None else None
        return details.scheduled_time if details is not None else None

    def wishes(self) -> RunWishes:
        """As an envelope takes them."""
        return RunWishes(
            name=self.name,
            tags=self.tags or (),
            job_variables=self.job_variables,
            idempotency_key=self.idempotency_key,
            parent_task_run_id=self.parent_task_run_id,
            priority=self.priority,
            message=(self.state.message if self.state is not None else None) or "",
        )


class FlowRunCreates(RootModel[Annotated[list[FlowRunCreate], Field(max_length=100)]]):
    """Some runs of a deployment."""


FlowRunOrder = Literal[
    "ID_DESC", "START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC",
    "NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC", "NAME_ASC", "NAME_DESC",
]  # fmt: skip


class Sections(Model):
    """The filters of Prefect's clients, one section each."""

    flows: filters.FlowFilter | None = None
    flow_runs: filters.FlowRunFilter | None = None
    deployments: filters.DeploymentFilter | None = None
    task_runs: None = None
    work_pools: filters.WorkPoolFilter | None = None
    work_pool_queues: None = None
    work_queues: None = None


class FlowRunsQuery(Sections):
    """Which flow runs; what is left out means all."""


class FlowRunsPage(FlowRunsQuery):
    """Which flow runs, and which of them: by ``offset``, or from a cursor on."""

    sort: FlowRunOrder | None = Field(default=None, description="The newest first; others: of the newest 2,000")
    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0
    before: Annotated[str, Field(pattern=r"^[0-9]{1,17}\.[0-9]{1,17}$")] | None = None


class FlowRunsPaginate(FlowRunsQuery):
    """Which page, from 1 on."""

    sort: FlowRunOrder | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")
    page: Annotated[int, Field(ge=1, le=1000)] = 1


class DefinitionsQuery(Model):
    """Which deployments or flows; by flows and deployments."""

    flows: filters.FlowFilter | None = None
    deployments: filters.DeploymentFilter | None = None
    flow_runs: None = None
    task_runs: None = None
    work_pools: filters.WorkPoolFilter | None = None
    work_pool_queues: None = None
    work_queues: None = None


DefinitionsOrder = Literal[
    "CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC", "CONCURRENCY_LIMIT_ASC", "CONCURRENCY_LIMIT_DESC"
]  # fmt: skip


class DefinitionsList(DefinitionsQuery):
    """Which, in which order, and how many."""

    limit: Limit | None = None
    offset: Offset = 0
    sort: DefinitionsOrder | None = None


class DefinitionsPaginate(DefinitionsQuery):
    """Which page, from 1 on."""

    limit: Limit | None = None
    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    sort: DefinitionsOrder | None = None


class ScheduledRuns(Model):
    """The runs to come of these deployments."""

    deployment_ids: Ids
    scheduled_before: Moment | None = None
    limit: Limit | None = None


class RollBack(Model):
    """To which version."""

    to: Annotated[int, Field(ge=1)] | Key


class FlowCreate(Model):
    """A flow."""

    name: Name
    tags: Annotated[list[str], Field(max_length=0)] | None = None
    labels: Empty | None = None


class LimitFields(Model):
    """Of a limit; what is left out stays."""

    limit: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    active: bool | None = None
    slot_decay_per_second: Annotated[float, Field(ge=0, le=1e9)] | None = None
    name: None = None
    active_slots: None = None
    denied_slots: None = None

    def given(self) -> dict[str, Any]:
        """As ``concurrency.declared.declare`` takes them."""
        names = ("limit", "active", "slot_decay_per_second")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class LimitCreate(Model):
    """A limit by its name."""

    name: Name
    limit: Annotated[int, Field(ge=0, lt=2**31)]
    active: bool = True
    slot_decay_per_second: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    active_slots: Literal[0] | None = None
    denied_slots: Literal[0] | None = None


class LimitsList(Model):
    """Which of them."""

    limit: Limit | None = None
    offset: Offset = 0
