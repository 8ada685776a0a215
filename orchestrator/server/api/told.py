"""What comes out of the JSON API. Names and shapes follow Prefect 3's where it has the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from orchestrator.inspection import RunView
from orchestrator.server.answers import FlowRunView, RunFacts
from orchestrator.server.api.asked import Model


class State(Model):
    """A state, as Prefect shows it."""

    type: str
    name: str
    message: str | None
    timestamp: datetime | None


class TaskRun(Model):
    """A task run in a list. Moments are in UTC."""

    id: str
    name: str
    task_key: str
    state_type: str
    state_name: str
    state: State
    tags: list[str]
    flow_run_id: str | None
    parent_task_run_id: str | None
    created: datetime | None
    expected_start_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: float | None = Field(description="Seconds of the last attempt")
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
    took = (run.ended - run.started).total_seconds() if run.started and run.ended else None
    return {
        "id": run.id,
        "name": run.task.rpartition(".")[2],
        "task_key": run.task,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "state": State(
            type=run.state_type,
            name=run.state_name,
            message=run.message,
            timestamp=run.ended or run.started or run.created,
        ),
        "tags": list(run.tags),
        "flow_run_id": run.flow_run_id,
        "parent_task_run_id": run.parent_task_run_id,
        "created": run.created,
        "expected_start_time": run.due or run.created,
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


class HistoryEntry(Model):
    """A state that the run was in."""

    timestamp: datetime
    type: str
    name: str


class Progress(Model):
    """What the task says of itself."""

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
    actions: list[Literal["cancel", "retry", "delete"]]


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


def progress_of(told: Mapping[str, Any] | None) -> Progress | None:
    """What a task said, as the API shows it."""
    if told is None:
        return None
    total = told["total"]
    return Progress(
        done=float(told["done"]),
        total=None if total is None else float(total),
        fraction=told["fraction"],
        note=told["note"],
        moment=told["moment"],
    )


class Orchestrated(Model):
    """What came of it."""

    status: Literal["ACCEPT"]
    state: State


class DoneAnswer(Model):
    """What a bulk action came to."""

    asked: int
    done: int


class FlowRun(Model):
    """A flow run in a list."""

    id: str
    name: str
    flow_name: str
    state_type: str
    state_name: str
    state: State
    created: datetime | None
    end_time: datetime | None
    run_count: int
    parent_flow_run_id: str | None
    task_run_counts: dict[str, int] = Field(description="State type: number of its task runs")


def flow_run_of(run: FlowRunView) -> FlowRun:
    """A flow run as the API shows it."""
    return FlowRun(**flow_fields(run))


def flow_fields(run: FlowRunView) -> dict[str, Any]:
    """Its fields."""
    return {
        "id": run.id,
        "name": run.name,
        "flow_name": run.flow,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "state": State(
            type=run.state_type, name=run.state_name, message=run.message, timestamp=run.ended or run.created
        ),
        "created": run.created,
        "end_time": run.ended,
        "run_count": run.run_count,
        "parent_flow_run_id": run.parent_flow_run_id,
        "task_run_counts": run.task_runs,
    }


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
    """A flow run with its task runs, by task."""

    tasks: list[TaskGroupOfFlow]
    subflow_run_ids: list[str]


class Log(Model):
    """One line."""

    timestamp: datetime
    level: int
    level_name: str
    message: str
    task_run_id: str | None
    flow_run_id: str | None


class Overview(Model):
    """The figures of the start page."""

    task_runs: dict[str, int] = Field(description="State type: number of runs that are kept")
    queues: int
    waiting: int
    workers: int
    running: int
    dead: int
    scheduled: int


class ServerVersion(Model):
    """Which server this is."""

    version: str
    python: str
    read_only: bool


class Setting(Model):
    """A setting, without secrets."""

    name: str
    variable: str
    value: str
    meaning: str


class Ready(Model):
    """Whether it answers; says nothing else, and asks for no token."""

    ready: bool


class QueueDone(Model):
    """What became of an order to a queue."""

    name: str
    purged: int | None = None


class WorkersDone(Model):
    """The name that the order was given to."""

    name: str


class Refused(BaseModel):
    """Why not."""

    detail: str | list[dict[str, Any]]
