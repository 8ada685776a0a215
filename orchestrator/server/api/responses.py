"""Models of the JSON API's responses. Names and shapes follow Prefect 3's where it has the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from orchestrator.inspection import RunView
from orchestrator.server.api.requests import Model
from orchestrator.server.view_models import FlowRunView, RunFacts, by_type


class StateDetails(Model):
    """Whose state it is."""

    flow_run_id: str | None
    task_run_id: str | None
    scheduled_time: datetime | None


class State(Model):
    """A state, as Prefect shows it."""

    type: str
    name: str
    message: str | None
    timestamp: datetime | None
    state_details: StateDetails


class TaskRun(Model):
    """A task run in a list. Moments are in UTC."""

    id: str
    name: str = Field(description="Of the run: made by task_run_name, else of the task's name and the id")
    task_name: str = Field(description="Of the task, for people")
    task_key: str
    dynamic_key: str = Field(description="As `id`; Prefect's clients want one")
    state_type: str
    state_name: str
    state: State
    tags: list[str]
    flow_run_id: str | None
    parent_task_run_id: str | None
    created: datetime | None
    expected_start_time: datetime | None
    next_scheduled_start_time: datetime | None = Field(description="Of a Scheduled run: its first or next attempt")
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: float = Field(description="Seconds of the last attempt, once it has ended")
    run_count: int
    retries: int
    crashes: int
    take_overs: int
    queue: str
    priority: str
    worker: str | None


def task_run_of(run: RunView) -> TaskRun:
    """A run as the API shows it."""
    return TaskRun(**_fields(run))


def _fields(run: RunView) -> dict[str, Any]:
    took = (run.ended - run.started).total_seconds() if run.started and run.ended else 0.0
    return {
        "id": run.id,
        "name": run.name,
        "task_name": run.task_name,
        "task_key": run.task,
        "dynamic_key": run.id,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "state": State(
            type=run.state_type,
            name=run.state_name,
            message=run.message,
            timestamp=run.ended or run.started or run.created,
            state_details=StateDetails(flow_run_id=run.flow_run_id, task_run_id=run.id, scheduled_time=run.due),
        ),
        "tags": list(run.tags),
        "flow_run_id": run.flow_run_id,
        "parent_task_run_id": run.parent_task_run_id,
        "created": run.created,
        "expected_start_time": run.due or run.created,
        "next_scheduled_start_time": run.due if run.state_type == "SCHEDULED" else None,
        "start_time": run.started,
        "end_time": run.ended,
        "total_run_time": took,
        "run_count": run.run_count,
        "retries": run.retries,
        "crashes": run.crashes,
        "take_overs": run.take_overs,
        "queue": run.queue,
        "priority": run.priority,
        "worker": run.worker,
    }


class TaskRunPage(Model):
    """A page of task runs; ``count`` is at least so many where the header ``X-Total-Is-At-Least`` is there."""

    results: list[TaskRun]
    count: int
    limit: int
    pages: int
    page: int


class HistoryEntry(Model):
    """A state that the run was in."""

    timestamp: datetime
    type: str
    name: str


class Progress(Model):
    """Reported progress."""

    done: float
    total: float | None
    fraction: float | None
    note: str | None
    moment: datetime


class TaskRunDetail(TaskRun):
    """A task run with everything around it. Arguments and results are texts; secrets are not shown."""

    parameters: dict[str, str] | None
    parameters_note: str | None = Field(description="Why they are not there")
    result: str | None
    error: str | None = Field(description="Traceback")
    history: list[HistoryEntry]
    progress: Progress | None
    upstreams: list[str] = Field(description="Runs whose results it takes")
    children: list[str] = Field(description="The newest runs that its code submitted")
    children_count: int
    flow_run_name: str | None
    actions: list[Literal["run-now", "cancel", "retry", "delete"]]


def task_run_detail_of(facts: RunFacts) -> TaskRunDetail:
    """A run's page as the API shows it."""
    detail = facts.detail
    return TaskRunDetail(
        **_fields(detail.run),
        parameters=dict(detail.parameters) if detail.parameters is not None else None,
        parameters_note=detail.parameters_note,
        result=detail.result,
        error=detail.error,
        history=[
            HistoryEntry(timestamp=event.moment, type=event.state_type, name=event.state_name)
            for event in facts.history
        ],
        progress=progress_of(facts.progress),
        upstreams=[run.id for run in facts.upstreams],
        children=[run.id for run in facts.children],
        children_count=facts.children_total.number,
        flow_run_name=facts.flow_run_name,
        actions=list(facts.actions),  # type: ignore[arg-type]
    )


def progress_of(progress: Mapping[str, Any] | None) -> Progress | None:
    """Reported progress as the API shows it."""
    if progress is None:
        return None
    total = progress["total"]
    return Progress(
        done=float(progress["done"]),
        total=None if total is None else float(total),
        fraction=progress["fraction"],
        note=progress["note"],
        moment=progress["moment"],
    )


class Orchestrated(Model):
    """Result of setting a state, in Prefect's shape."""

    status: Literal["ACCEPT"] = "ACCEPT"
    state: State
    details: dict[str, str] = {"type": "accept_details"}  # noqa: RUF012  # of a frozen model


class DoneAnswer(Model):
    """Result of a bulk action: runs considered, and runs acted on."""

    asked: int
    done: int


class FlowRun(Model):
    """A flow run in a list."""

    id: str
    name: str
    flow_id: str
    flow_name: str
    state_type: str
    state_name: str
    state: State
    created: datetime | None
    expected_start_time: datetime | None
    next_scheduled_start_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: float = Field(description="Seconds from begin to end, once it has ended")
    run_count: int
    parent_flow_run_id: str | None
    deployment_id: str | None
    deployment_name: str | None = Field(description="flow/deployment")
    deployment_version: str | None
    schedule_id: str | None = Field(description="That made it")
    auto_scheduled: bool
    work_pool_name: str | None
    tags: list[str]
    task_run_counts: dict[str, int] = Field(description="State type: number of its task runs")


def flow_run_of(run: FlowRunView, flow_id: str) -> FlowRun:
    """A flow run as the API shows it."""
    return FlowRun(**flow_fields(run, flow_id))


def flow_fields(run: FlowRunView, flow_id: str) -> dict[str, Any]:
    """The fields of a flow run in a list."""
    scheduled = run.expected if run.state_type == "SCHEDULED" else None
    took = (run.ended - run.started).total_seconds() if run.started and run.ended else 0.0
    return {
        "id": run.id,
        "name": run.name,
        "flow_id": flow_id,
        "flow_name": run.flow,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "state": State(
            type=run.state_type,
            name=run.state_name,
            message=run.message,
            timestamp=run.ended or run.started or run.created or run.expected,
            state_details=StateDetails(flow_run_id=run.id, task_run_id=None, scheduled_time=scheduled),
        ),
        "created": run.created,
        "expected_start_time": run.expected or run.created,
        "next_scheduled_start_time": scheduled,
        "start_time": run.started,
        "end_time": run.ended,
        "total_run_time": took,
        "run_count": run.run_count,
        "parent_flow_run_id": run.parent_flow_run_id,
        "deployment_id": run.deployment_id,
        "deployment_name": run.deployment,
        "deployment_version": str(run.version) if run.version is not None else None,
        "schedule_id": run.schedule_id,
        "auto_scheduled": run.schedule_id is not None,
        "work_pool_name": run.work_pool,
        "tags": list(run.tags),
        "task_run_counts": by_type(run.task_runs),
    }


class FlowRunPage(Model):
    """A page of flow runs; ``count`` as in :class:`TaskRunPage`."""

    results: list[FlowRun]
    count: int
    limit: int
    pages: int
    page: int


class TaskGroupOfFlow(Model):
    """All runs of one task in a flow run."""

    task_key: str
    count: int
    state_counts: dict[str, int]
    created: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    first_task_run_ids: list[str]
    after: list[str] = Field(description="Tasks whose results it takes")


class FlowRunDetail(FlowRun):
    """A flow run with its task runs, by task. The result is a text; secrets are not shown."""

    parameters: dict[str, Any] = Field(description="What JSON has not is a text; empty: they are not kept")
    result: str | None
    error: str | None = Field(description="Traceback")
    tasks: list[TaskGroupOfFlow]
    subflow_run_ids: list[str]


class Log(Model):
    """One line."""

    name: str
    timestamp: datetime
    level: int
    level_name: str
    message: str
    task_run_id: str | None
    flow_run_id: str | None


class Refused(BaseModel):
    """An error."""

    detail: str | list[dict[str, Any]]
