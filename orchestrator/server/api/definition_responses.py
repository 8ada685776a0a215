"""Models of the JSON API's responses about deployments, schedules, flows and limits, in Prefect 3's shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field

from orchestrator.inspection import Redaction
from orchestrator.schedules import Schedule
from orchestrator.server.api.requests import Model
from orchestrator.server.api.schedule_requests import POLICIES
from orchestrator.server.definition_views import DeploymentView, FlowView, LimitView, ScheduleView, VersionView


class DeploymentSchedule(Model):
    """A schedule; ``schedule`` is as Prefect's clients read it."""

    id: str
    deployment_id: str | None = Field(description="`null`: it is one of a task")
    name: str = Field(description="flow/deployment, or that of a task's schedule")
    schedule: dict[str, Any]
    active: bool
    parameters: dict[str, Any]
    slug: str | None
    max_scheduled_runs: int | None
    status: str = Field(description="ACTIVE, PAUSED, OVER or LEFT ALONE")
    reason: str | None = Field(description="Why it is paused, or left alone")
    next_ticks: list[datetime] = Field(description="In the zone of the schedule")
    last_tick: datetime | None
    skipped: list[datetime]
    fired: int
    missed: int
    overlapped: int
    policies: dict[str, Any] = Field(description="What is not as by default: catchup, overlap, jitter, ...")


def schedule_of(view: ScheduleView, redaction: Redaction) -> DeploymentSchedule:
    """A schedule as the API shows it."""
    record, schedule = view.record, view.record.schedule
    return DeploymentSchedule(
        id=view.id,
        deployment_id=view.deployment_id,
        name=view.name,
        schedule=timing_of(schedule) if schedule is not None else {},
        active=record.active,
        parameters=redaction.of(view.parameters),
        slug=schedule.slug if schedule is not None else None,
        max_scheduled_runs=None,
        status=view.status,
        reason=record.reason or record.trouble or None,
        next_ticks=[tick.moment for tick in view.next_ticks],
        last_tick=view.last_tick,
        skipped=view.skipped,
        fired=record.fired,
        missed=record.missed,
        overlapped=record.overlapped,
        policies=_policies(schedule) if schedule is not None else {},
    )


def timing_of(schedule: Schedule) -> dict[str, Any]:
    """When it is due, as Prefect writes it.

    >>> from orchestrator.schedules import Interval
    >>> timing_of(Interval(60))["interval"]
    60.0
    """
    if schedule.interval is not None:
        anchor = schedule.anchor_date or datetime(2020, 1, 1, tzinfo=schedule.zone)
        seconds = schedule.interval.total_seconds()
        return {"interval": seconds, "anchor_date": anchor.isoformat(), "timezone": schedule.zone.key}
    if schedule.cron is not None:
        return {"cron": schedule.cron, "timezone": schedule.timezone, "day_or": schedule.day_or}
    return {"rrule": schedule.rrule, "timezone": schedule.timezone}


def _policies(schedule: Schedule) -> dict[str, Any]:
    ordinary = {name: Schedule.__dataclass_fields__[name].default for name in POLICIES}
    return {name: getattr(schedule, name) for name in POLICIES if getattr(schedule, name) != ordinary[name]}


class Deployment(Model):
    """A deployment."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    flow_id: str
    flow_name: str
    status: Literal["READY", "NOT_READY"]
    paused: bool
    description: str | None
    tags: list[str]
    labels: dict[str, Any]
    version: str | None = Field(description="Label of the version that runs")
    version_number: int
    entrypoint: str | None
    path: str | None
    parameters: dict[str, Any]
    parameter_openapi_schema: dict[str, Any]
    enforce_parameter_schema: bool
    frozen_parameters: list[str]
    work_pool_name: str | None
    work_queue_name: str | None
    job_variables: dict[str, Any]
    pull_steps: list[dict[str, Any]] | None
    schedules: list[DeploymentSchedule]
    concurrency_limit: int | None
    concurrency_options: dict[str, Any] | None
    global_concurrency_limit: None
    image: str | None
    queue: str = Field(description="Of its runs")
    next_tick: datetime | None
    last_run_ids: list[str]
    trouble: str | None = Field(description="Why it cannot be read here")


def deployment_of(view: DeploymentView, flow_id: str, redaction: Redaction, *, to_editor: bool) -> Deployment:
    """A deployment as the API shows it; environments and log-ins of its runs to who may change them only."""
    record = view.record
    limit = record.concurrency_limit or {}
    options = {name: value for name, value in limit.items() if name != "limit"} or None
    return Deployment(
        id=record.id,
        created=moment_of(record.created_at),
        updated=moment_of(record.written_at_ms / 1000),
        name=record.name,
        flow_id=flow_id,
        flow_name=record.flow_name,
        status="READY" if view.status == "READY" else "NOT_READY",
        paused=record.paused,
        description=record.description,
        tags=list(record.tags),
        labels={},
        version=record.label,
        version_number=record.version_number,
        entrypoint=record.entrypoint,
        path=None,
        parameters=redaction.of(record.parameters),
        parameter_openapi_schema=record.parameter_schema,
        enforce_parameter_schema=record.enforce_parameter_schema,
        frozen_parameters=list(record.frozen),
        work_pool_name=record.work_pool_name,
        work_queue_name=record.work_queue_name,
        job_variables=(redaction.of if to_editor else redaction.of_job)(record.job_variables),
        pull_steps=None,
        schedules=[schedule_of(schedule, redaction) for schedule in view.schedules],
        concurrency_limit=limit.get("limit") if isinstance(limit.get("limit"), int) else None,
        concurrency_options=options,
        global_concurrency_limit=None,
        image=record.image,
        queue=record.run_queue,
        next_tick=view.next_tick,
        last_run_ids=[run.id for run in view.last_runs],
        trouble=record.trouble or None,
    )


def moment_of(seconds: float) -> datetime | None:
    """A moment in UTC, of unix seconds; ``None`` for 0 and what is no moment."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


class DeploymentPage(Model):
    """A page of deployments."""

    results: list[Deployment]
    count: int
    limit: int
    pages: int
    page: int


class DeploymentVersion(Model):
    """A version of a deployment."""

    number: int
    label: str | None
    is_current: bool
    has_code: bool = Field(description="Whether it can be run")
    entrypoint: str
    image: str | None
    commit: str | None
    created: datetime | None
    created_by: str


def version_of(view: VersionView) -> DeploymentVersion:
    """A version as the API shows it."""
    version = view.version
    return DeploymentVersion(
        number=version.number,
        label=version.label,
        is_current=view.is_current,
        has_code=view.has_code,
        entrypoint=version.entrypoint,
        image=version.image,
        commit=version.commit or None,
        created=moment_of(version.at),
        created_by=version.who,
    )


class Flow(Model):
    """A flow."""

    id: str
    name: str
    created: datetime | None
    updated: datetime | None
    tags: list[str]
    labels: dict[str, Any]
    deployment_ids: list[str]


def flow_of(view: FlowView) -> Flow:
    """A flow as the API shows it."""
    return Flow(
        id=view.id,
        name=view.name,
        created=view.defined,
        updated=view.defined,
        tags=[],
        labels={},
        deployment_ids=view.deployment_ids,
    )


class BulkRun(Model):
    """What became of one of many runs that were asked for."""

    status: Literal["CREATED", "FAILED"]
    flow_run_id: str | None
    error: str | None


class BulkRuns(Model):
    """In the order in which they were asked for."""

    results: list[BulkRun]


class MadeRuns(Model):
    """Ids of the runs that were made."""

    flow_run_ids: list[str]


class Holder(Model):
    """Who holds places."""

    id: str
    kind: Literal["run", "lease"]
    slots: int
    since: datetime | None
    until: datetime | None


class ConcurrencyLimit(Model):
    """A limit by its name, with who holds places and how many wait."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    about: str = Field(description="The name, or that of the deployment whose limit it is")
    deployment_id: str | None
    limit: int
    active: bool
    active_slots: int
    denied_slots: int
    slot_decay_per_second: float
    strategy: str | None
    holders: list[Holder]
    waiting: int
    waiting_run_ids: list[str]


def limit_id(name: str) -> str:
    """The id that a limit of this name has."""
    return str(uuid5(NAMESPACE_URL, f"orchestrator:limit:{name}"))


def limit_of(view: LimitView) -> ConcurrencyLimit:
    """A limit as the API shows it."""
    limit = view.limit
    written = moment_of(limit.written_at_ms / 1000)
    return ConcurrencyLimit(
        id=limit_id(limit.name),
        created=written,
        updated=written,
        name=limit.name,
        about=view.about,
        deployment_id=view.deployment_id,
        limit=limit.limit,
        active=limit.active,
        active_slots=int(limit.use.taken),
        denied_slots=0,
        slot_decay_per_second=limit.slot_decay_per_second,
        strategy=limit.strategy or None,
        holders=[
            Holder(
                id=one.who,
                kind="lease" if one.is_lease else "run",
                slots=one.places,
                since=moment_of(one.since_ms / 1000),
                until=moment_of(one.until_ms / 1000),
            )
            for one in limit.use.holders
        ],
        waiting=limit.use.waiting,
        waiting_run_ids=limit.use.waiting_runs,
    )
