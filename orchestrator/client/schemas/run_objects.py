"""Flows, their runs, task runs and log lines, as the API has them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from pydantic import Field, field_validator, model_validator

from orchestrator.client.schemas.base import ApiObject, IdentifiedObject, RunId
from orchestrator.client.schemas.states import StateField
from orchestrator.states import StateType


class Flow(IdentifiedObject):
    """A flow. Follows Prefect 3."""

    name: str
    tags: list[str] = Field(default_factory=list)
    labels: dict[str, Any] = Field(default_factory=dict)


class Run(ApiObject):
    """What flow runs and task runs have in common. Moments are in UTC."""

    describes_a_run: ClassVar[bool] = True  # as an argument of a task it stays as it is, see runs/nested_values.py

    id: RunId
    created: datetime | None = None
    updated: datetime | None = None
    name: str = ""
    state: StateField = None
    state_type: StateType | None = None
    state_name: str | None = None
    tags: list[str] = Field(default_factory=list)
    run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: timedelta = timedelta(0)

    @field_validator("total_run_time", mode="before")
    @classmethod
    def _none_is_nothing(cls, given: Any) -> Any:
        return timedelta(0) if given is None else given


class FlowRunInput(ApiObject):
    """A value that was sent to a flow run. Follows Prefect 3.

    Attributes:
        value: JSON.
        sender: who sent it; of a flow run ``prefect.flow-run.<id>``.
    """

    flow_run_id: UUID
    key: str
    value: str
    sender: str | None = None

    @property
    def decoded_value(self) -> Any:
        """What the JSON means."""
        return json.loads(self.value)


class FlowRun(Run):
    """A flow run. Follows Prefect 3; ``flow_name``, ``deployment_name`` and ``task_run_counts`` are ours.

    Attributes:
        parameters: as JSON has them; of a run in a list only where the API has them.
        state: ``state.result()`` gives what it returned, where the store can be reached.
    """

    flow_id: UUID
    flow_name: str | None = None
    deployment_id: UUID | None = None
    deployment_name: str | None = None
    deployment_version: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict, repr=False)  # there may be secrets among them
    parent_flow_run_id: RunId | None = None
    parent_task_run_id: RunId | None = None
    idempotency_key: str | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None
    auto_scheduled: bool = False
    labels: dict[str, Any] = Field(default_factory=dict)
    task_run_counts: dict[str, int] = Field(default_factory=dict)

    @field_validator("parameters", mode="before")
    @classmethod
    def _none_are_no_parameters(cls, given: Any) -> Any:
        return {} if given is None else given

    @model_validator(mode="after")
    def _whose_state(self) -> FlowRun:
        if self.state is not None and self.state.flow_run_id is None:
            self.state = self.state.copy(flow_run_id=str(self.id), run_count=self.run_count)
        return self


class TaskRun(Run):
    """A task run. Follows Prefect 3; ``queue``, ``worker`` and ``task_name`` are ours."""

    flow_run_id: RunId | None = None
    parent_task_run_id: RunId | None = None
    task_key: str
    task_name: str | None = None
    queue: str | None = None
    worker: str | None = None

    @model_validator(mode="after")
    def _whose_state(self) -> TaskRun:
        if self.state is not None and self.state.task_run_id is None:
            self.state = self.state.copy(task_run_id=str(self.id), run_count=self.run_count)
        return self


class Log(ApiObject):
    """A line of a run's log.

    Attributes:
        level: as Python's ``logging`` numbers it.
    """

    name: str = ""
    level: int
    message: str
    timestamp: datetime
    flow_run_id: RunId | None = None
    task_run_id: RunId | None = None


class OrchestrationResult(ApiObject):
    """What became of a request for a state: ``ACCEPT``, and the state now."""

    status: str
    state: StateField = None
    details: dict[str, Any] = Field(default_factory=dict)
