"""What a run of a deployment would be: its version, parameters and surroundings; and what a work pool would start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from orchestrator.client.fleet import Fleet
from orchestrator.deployments.pool_jobs import NO_JOB, job_in_pool
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.run_parameters import parameters_for_run
from orchestrator.deployments.run_version import version_for_run
from orchestrator.deployments.running import RunRequest, envelope_of
from orchestrator.deployments.schedules import owner_of
from orchestrator.errors import ConfigurationError
from orchestrator.inspection import FlowRunFilter, flow_runs_of
from orchestrator.scheduling.edit import of_owner, upcoming
from orchestrator.variables import value_named
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.lookup import pool_named
from orchestrator.work_pools.members import members_of

MOST_RUNS: Final = 1_000  # of a pool, and ticks of each schedule


@dataclass(frozen=True, slots=True)
class RunPreview:
    """A run that was not made.

    Attributes:
        deployment: ``flow/deployment``.
        version: number of the version that it would run; ``None``: as its file is then.
        entrypoint: where the flow is.
        parameters: checked, those of the deployment under those that were given.
        work_pool: whose workers would run it; ``None``: whoever serves the deployment.
        queue: of the store, which it would wait in.
        job: what its pool gives it, or starts for it.
    """

    deployment: str
    version: int | None
    entrypoint: str | None
    parameters: dict[str, Any]
    work_pool: str | None
    queue: str
    job: Job


def preview_of(fleet: Fleet, record: DeploymentRecord, request: RunRequest) -> RunPreview:
    """What a run would be that is asked for so. Nothing is written.

    Raises:
        ObjectNotFound, MissingFlowError, ParameterBindError, ParameterTypeError, PayloadTooLarge, ConfigurationError:
            the run would be refused. BrokerError: the server does not answer.
    """
    envelope = envelope_of(fleet, record, request)
    version = version_for_run(fleet.broker, record, request.version)
    return RunPreview(
        record.full_name,
        version.number if version is not None else record.version_number or None,
        version.entrypoint if version is not None else record.entrypoint,
        parameters_for_run(record, request.parameters, variable=partial(value_named, fleet)),
        record.work_pool_name,
        envelope.route[:-3],
        job_for(fleet, record, request.wishes.job_variables),
    )


def job_for(fleet: Fleet, record: DeploymentRecord, job_variables: Mapping[str, Any] | None = None) -> Job:
    """What a run of a deployment is given by its work pool; blocks stay as they are written.

    Raises:
        ConfigurationError: a variable that it names is not set, or a job variable has another type.
        BrokerError: the server does not answer.
    """
    if record.work_pool_name is None:
        return NO_JOB
    return job_in_pool(fleet, pool_named(fleet.broker, record.work_pool_name), record, job_variables)


@dataclass(frozen=True, slots=True)
class ComingRun:
    """A run that a work pool will start, or a tick that will have one.

    Attributes:
        moment: when it is due, in UTC.
        run_id: that it has, or will have.
        is_tick: it is made when it is due.
        trouble: why its job cannot be made out.
    """

    moment: datetime
    run_id: str
    deployment: str
    work_queue: str
    is_tick: bool
    job: Job = field(default=NO_JOB)
    trouble: str = ""


def coming_runs(fleet: Fleet, pool_name: str, seconds: float) -> list[ComingRun]:
    """What a pool will start within a time, what is due first at the top: runs that wait, and ticks to come.

    Raises:
        BrokerError: the server does not answer.
    """
    now_ms = fleet.broker.ticks.now_ms()
    until = now_ms + round(seconds * 1000)
    found = [run for record in members_of(fleet.broker, pool_name) for run in _coming(fleet, record, now_ms, until)]
    return sorted(found, key=lambda run: (run.moment, run.run_id))


def _coming(fleet: Fleet, record: DeploymentRecord, now_ms: int, until_ms: int) -> Iterator[ComingRun]:
    try:
        job, trouble = job_for(fleet, record), ""
    except ConfigurationError as error:
        job, trouble = NO_JOB, str(error)
    queue = record.work_queue_name or "default"
    for row in flow_runs_of(fleet, FlowRunFilter(states=("SCHEDULED",), deployments=(record.id,)), MOST_RUNS):
        moment = row.expected or datetime.fromtimestamp(now_ms / 1000, UTC)
        if moment.timestamp() * 1000 <= until_ms:
            yield ComingRun(moment.astimezone(UTC), row.id, record.full_name, queue, False, job, trouble)
    if record.paused:
        return
    for schedule in of_owner(fleet, owner_of(record.id)):
        for tick in upcoming(schedule, now_ms, MOST_RUNS):
            if tick.tick_ms > until_ms:
                break
            moment = datetime.fromtimestamp(tick.tick_ms / 1000, UTC)
            yield ComingRun(moment, tick.run_id, record.full_name, queue, True, job, trouble)
