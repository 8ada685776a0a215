"""A run of a deployment, as a worker executes it: what every worker knows, whatever it has imported.

The call names the deployment and the version; the worker reads where that version's flow is, loads it, and runs it as a
flow that was sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from brokers.schema import DEPLOYMENT_CALL
from orchestrator.blocks.errors import BlockLoadError
from orchestrator.client.fleet import current_fleet
from orchestrator.deployments.block_references import with_blocks
from orchestrator.deployments.loading import flow_of
from orchestrator.deployments.parameter_schema import call_arguments
from orchestrator.deployments.pool_jobs import NO_JOB, job_of_run
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of
from orchestrator.deployments.surroundings import surroundings
from orchestrator.deployments.versions import Version, snapshot_of, version_of
from orchestrator.errors import (
    ConfigurationError,
    MissingFlowError,
    ObjectNotFound,
    ParameterBindError,
    ScriptError,
    SerializationError,
)
from orchestrator.execution.attempt import Attempt, Doors
from orchestrator.execution.flow_deliveries import run_delivered, run_delivered_async
from orchestrator.execution.storing import storing_for
from orchestrator.runs.deployed import DeployedRun
from orchestrator.serializers.documents import check_signed
from orchestrator.serializers.outcomes import flow_message
from orchestrator.states import Crashed, State
from orchestrator.tasks import Task
from orchestrator.work_pools.base_templates import PROCESS
from orchestrator.work_pools.job import Job
from orchestrator.work_pools.lookup import pool_named

log = logging.getLogger("orchestrator.deployments")
CANNOT_BEGIN: Final = (
    MissingFlowError,
    ScriptError,
    ParameterBindError,
    ConfigurationError,
    SerializationError,
    ObjectNotFound,
    BlockLoadError,
)
_PARTS: Final = frozenset(DeployedRun._fields) - {"deployment_id"}


class DeploymentCall(Task[..., Any]):
    """What stands for the runs of all deployments in queues and on workers."""


def deployment_run(deployment: str, parameters: dict[str, Any], facts: dict[str, Any]) -> Any:
    """Run a deployment's flow here and now.

    Args:
        deployment: its id.
        parameters: of the flow.
        facts: parts of a :class:`orchestrator.runs.deployed.DeployedRun`.
    """
    flow = _flow_of(_deployed(deployment, facts), None)
    args, named = call_arguments(flow.signature, with_blocks(parameters))
    return flow(*args, **named)


def deployment_call() -> DeploymentCall:
    """The one task that all of these calls are."""
    return DeploymentCall(deployment_run, task_key=DEPLOYMENT_CALL)


def _run(attempt: Attempt) -> Any:
    with ExitStack() as stack:
        try:
            flow = become_the_flow(attempt, stack)
        except CANNOT_BEGIN as error:
            return crashed(attempt, error)
        if flow.isasync:  # it was not when it was deployed
            return asyncio.run(run_delivered_async(attempt))
        return run_delivered(attempt)


async def _run_async(attempt: Attempt) -> Any:
    with ExitStack() as stack:
        try:
            flow = await asyncio.to_thread(become_the_flow, attempt, stack)
        except CANNOT_BEGIN as error:
            return await asyncio.to_thread(crashed, attempt, error)
        if not flow.isasync:  # it was when it was deployed
            return await asyncio.to_thread(run_delivered, attempt)
        return await run_delivered_async(attempt)


DeploymentCall.doors = Doors(_run, _run_async)


def become_the_flow(attempt: Attempt, stack: ExitStack) -> Any:
    """The attempt is one at the deployment's flow from now on, in the surroundings that its pool gives it."""
    given = attempt.parameters
    deployed = _deployed(given["deployment"], given["facts"])
    flow = _flow_of(deployed, stack)
    attempt.args, attempt.kwargs = call_arguments(flow.signature, with_blocks(given["parameters"]))
    attempt.task, attempt.options, attempt.deployed = flow.call, flow.call.options, deployed
    before = attempt.storing
    attempt.storing = before.of(flow.call) if before is not None else storing_for(flow.call, flow.call.options, None)
    if flow.options.log_prints is not None:
        attempt.log_prints = flow.options.log_prints
    return flow


def _deployed(deployment_id: str, facts: dict[str, Any]) -> DeployedRun:
    """What the run knows of its deployment; a part that a newer version has added is left out."""
    known = {name: value for name, value in facts.items() if name in _PARTS}
    return DeployedRun(deployment_id, **{"deployment_name": deployment_id} | known)


class Deployed(NamedTuple):
    """A deployment as a run of it finds it.

    Attributes:
        record: of the deployment.
        version: that the run is one of.
        is_current: whether that is the one that runs where nobody asks for another.
    """

    record: DeploymentRecord
    version: Version
    is_current: bool


def found_for(deployed: DeployedRun) -> Deployed:
    """The deployment of a run, with the version that it runs.

    Raises:
        MissingFlowError: it has been deleted, cannot be read here, or does not keep that version any more.
        UntrustedPayload: it is not signed, where it must be. BrokerError: the server does not answer.
    """
    broker, deployment_id = current_fleet().broker, deployed.deployment_id
    (document,) = broker.documents.read(KIND, [deployment_id])
    record = record_of(document)
    if record is None or document is None:
        raise MissingFlowError(f"the deployment {deployed.deployment_name!r} has been deleted")
    if record.trouble:
        raise MissingFlowError(f"the deployment {deployed.deployment_name!r} cannot be read here: {record.trouble}")
    check_signed(f"the deployment {record.full_name!r}", document.fields.get("d", b""))
    number = deployed.version or record.version_number
    version = version_of(broker, deployment_id, number, to_load=True)
    if version is None:
        raise MissingFlowError(f"version {number} of {record.full_name!r} is not kept any more")
    return Deployed(record, version, number == record.version_number)


def _flow_of(deployed: DeployedRun, stack: ExitStack | None) -> Any:
    broker, (record, version, is_current) = current_fleet().broker, found_for(deployed)
    if stack is not None and record.work_pool_name is not None:
        pool = pool_named(broker, record.work_pool_name, to_run=True)
        job = NO_JOB  # of a container, which is in its surroundings already
        if pool is None or pool.type == PROCESS:
            job = job_of_run(current_fleet(), pool, record, deployed)
        stack.enter_context(surroundings(job, version, record.working_dir))
    return flow_of(
        record.id,
        record.flow_name,
        version,
        is_current=is_current,
        snapshot=lambda: snapshot_of(broker, record.id, version),
    )


def job_to_start(attempt: Attempt, pool_name: str) -> tuple[DeploymentRecord, Job]:
    """What a worker of a pool is to start for a run of a deployment, with the values of blocks.

    Raises:
        OrchestratorError: one of :data:`CANNOT_BEGIN`, if there is nothing that could be started.
        BrokerError: the server does not answer.
    """
    given = attempt.parameters
    deployed = _deployed(given["deployment"], given["facts"])
    fleet, found = current_fleet(), found_for(deployed)
    pool = pool_named(fleet.broker, pool_name, to_run=True)
    if pool is None:
        raise ConfigurationError(f"the work pool {pool_name!r} has been deleted")
    return found.record, job_of_run(fleet, pool, found.record, deployed, image=found.version.image)


def crashed(attempt: Attempt, error: Exception) -> State[Any]:
    """Its code is no flow that can be run here: no fault of the flow, and another attempt would not help."""
    log.error("run %s of a deployment cannot begin: %s", attempt.run_id, error)
    attempt.started_at = time.time()
    state = Crashed(message=str(error), data=error, flow_run_id=attempt.run_id)
    facts = {"message": flow_message(attempt.run_id, str(error))}
    current_fleet().broker.flow_runs.write(attempt.run_id, facts)
    return state
