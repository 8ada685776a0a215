"""``run_deployment``: a run of a deployment, from anywhere; waited for if that is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from brokers.errors import BrokerError
from brokers.messages import Envelope
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.slot_lending import waiting_for
from orchestrator.client.waiting import check_timeout, wait_async
from orchestrator.deployments.envelope import NO_WISHES, RunWishes, envelope_for_run
from orchestrator.deployments.flow_run_value import FlowRun, read_flow_run
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.pools import queue_in_pool
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.run_parameters import parameters_for_run
from orchestrator.deployments.run_version import version_for_run
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.futures import PrefectFuture
from orchestrator.runnables.loading import is_loading
from orchestrator.runnables.options import check_priority, tags_from
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags
from orchestrator.runs.run_ids import new_run_id
from orchestrator.variables import value_named

log = logging.getLogger("orchestrator.deployments")
SILENT_SECONDS: Final = 5.0  # a run may take a moment to begin


class RunRequest(NamedTuple):
    """A call of :func:`run_deployment`, checked."""

    name: str
    parameters: Mapping[str, Any]
    timeout: float | None = 0
    version: int | str | None = None
    work_queue_name: str | None = None
    wishes: RunWishes = NO_WISHES


@async_dispatch("arun_deployment")
def run_deployment(
    name: str | UUID,
    client: Any = None,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
    *,
    version: int | str | None = None,
    priority: str | None = None,
    cancel_with_parent: bool | None = None,
) -> FlowRun:
    """Run a deployment, and wait for the end of the run; on an event loop it returns an awaitable.

    Args:
        name: ``flow/deployment``, or the deployment's id.
        client, poll_interval: accepted; nothing polls, the end is sent to this process.
        parameters: over the deployment's.
        scheduled_time: when it is to begin, with a time zone; now unless given.
        flow_run_name: of the run; stays its name though the flow has a template.
        timeout: seconds to wait; 0: return at once; ``None``: however long it takes. The run goes on after it.
        tags: beside the deployment's and those around this line.
        idempotency_key: a run of this deployment with the same key is not made again, it is the one that is returned.
        work_queue_name: another queue of the deployment's work pool.
        as_subflow: inside a flow or task, the run is a child of the flow run.
        job_variables: over the deployment's.
        version: number or label of the version to run; the current one unless given.
        priority: "high", "default" or "low".
        cancel_with_parent: it is cancelled when the flow run around this line is; ``None``: as ``as_subflow``.

    Raises:
        ObjectNotFound: no such deployment, or version. MissingFlowError: that version's code is gone.
        ParameterBindError, ParameterTypeError, PayloadTooLarge: the parameters do not fit; no run was made.
        ValueError: a negative timeout, a scheduled time without a zone, an unknown priority.
        ConfigurationError: this line runs because its script is being loaded for a run.
        BrokerError: the server does not answer.

    >>> from orchestrator import flow
    >>> from orchestrator.testing import inline
    >>> @flow
    ... def load(city: str) -> str:
    ...     return f"loaded {city}"
    >>> with inline():  # elsewhere a process that serves it, or a worker of its pool, runs it
    ...     _ = load.to_deployment("nightly", parameters={"city": "Oslo"}).apply()
    ...     run_deployment("load/nightly", parameters={"city": "Rome"}).state.result()
    'loaded Rome'

    Follows Prefect 3 (``prefect.deployments.run_deployment``), where parameters and states are the same.
    """
    request = _request(locals())
    fleet, (run_id, queue) = current_fleet(), _start(request)
    if request.timeout != 0:
        _wait(fleet, PrefectFuture(run_id, source=fleet), request, queue)
    return read_flow_run(fleet, run_id)


async def arun_deployment(
    name: str | UUID,
    client: Any = None,
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,
    as_subflow: bool = True,
    job_variables: Mapping[str, Any] | None = None,
    *,
    version: int | str | None = None,
    priority: str | None = None,
    cancel_with_parent: bool | None = None,
) -> FlowRun:
    """:func:`run_deployment` for event loops, which it never blocks."""
    request = _request(locals())
    run_id, queue = await asyncio.to_thread(_start, request)
    fleet = current_fleet()
    if request.timeout != 0:
        await _wait_async(fleet, PrefectFuture(run_id, source=fleet), request, queue)
    return await asyncio.to_thread(read_flow_run, fleet, run_id)


def _request(given: Mapping[str, Any]) -> RunRequest:
    """What was asked for, with what is around the line that asked. Raises ValueError, ConfigurationError."""
    if is_loading():
        raise ConfigurationError(
            f"run_deployment({str(given['name'])!r}) runs while its script is loaded for the flows in it, so that each "
            "run would make another one: write it below `if __name__ == '__main__':`"
        )
    check_timeout(given["timeout"])
    when: datetime | None = given["scheduled_time"]
    if when is not None and when.tzinfo is None:
        raise ValueError(f"scheduled_time={when!r} has no time zone: write datetime.now(UTC) + timedelta(...)")
    if given["priority"] is not None:
        check_priority(given["priority"])
    key = given["idempotency_key"]
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= 512):
        raise ValueError(f"idempotency_key={key!r} must be a text of 1 to 512 characters")
    wishes = RunWishes(
        name=given["flow_run_name"],
        expected_at=when.timestamp() if when is not None else None,
        delay_ms=max(0, round((when - datetime.now(UTC)).total_seconds() * 1000)) if when is not None else 0,
        tags=sorted({*tags_from(given["tags"]), *current_tags.get()}),
        job_variables=given["job_variables"],
        idempotency_key=key,
        priority=given["priority"],
    )
    as_subflow, with_parent = given["as_subflow"], given["cancel_with_parent"]
    if as_subflow:
        wishes = linked(wishes, as_subflow if with_parent is None else with_parent)
    return RunRequest(
        str(given["name"]),
        given["parameters"] or {},
        given["timeout"],
        given["version"],
        given["work_queue_name"],
        wishes,
    )


def linked(wishes: RunWishes, cancel_with_parent: bool) -> RunWishes:
    """The run as a child of what is around this line."""
    flow_run: Any = current_flow_run.get()
    attempt = current_attempt.get()
    if flow_run is not None:
        deployed = flow_run.deployment_here
        return wishes._replace(
            parent_flow_run_id=flow_run.run_id,
            parent_deployment_id=deployed.deployment_id if deployed is not None else None,
            root_flow_run_id=flow_run.root_flow_run_id,
            cancel_with_parent=cancel_with_parent,
        )
    if attempt is not None:
        return wishes._replace(
            parent_flow_run_id=attempt.flow_run_id,
            parent_task_run_id=attempt.run_id,
            cancel_with_parent=cancel_with_parent and attempt.flow_run_id is not None,
        )
    return wishes


def _start(request: RunRequest) -> tuple[str, str]:
    """Make the run; its id, and the queue that it is in."""
    fleet = current_fleet()
    record = find_deployment(fleet.broker, request.name)
    envelope = envelope_of(fleet, record, request, watched=request.timeout != 0)
    make_parent_known()
    (run_id,) = fleet.calls.send([envelope])
    flow_run: Any = current_flow_run.get()
    if request.wishes.cancel_with_parent and flow_run is not None:
        flow_run.cancelled_with_it.add(run_id)
    return run_id, envelope.route[:-3]


def envelope_of(fleet: Fleet, record: DeploymentRecord, request: RunRequest, *, watched: bool = False) -> Envelope:
    """The envelope of a run that was asked for. Raises as :func:`run_deployment`."""
    version = version_for_run(fleet.broker, record, request.version)
    parameters = parameters_for_run(record, request.parameters, variable=partial(value_named, fleet))
    wishes = request.wishes
    if request.work_queue_name is not None:
        if record.work_pool_name is None:
            raise ConfigurationError(
                f"work_queue_name={request.work_queue_name!r}: {record.full_name!r} is served, not in a work pool"
            )
        queue = queue_in_pool(fleet.broker, record.work_pool_name, request.work_queue_name)
        wishes = wishes._replace(queue=queue, work_queue=request.work_queue_name)
    if version is not None:
        wishes = wishes._replace(version=version.number, label=version.label, isasync=version.isasync)
    return envelope_for_run(fleet, record, new_run_id(), parameters, wishes, watched=watched)


def make_parent_known() -> None:
    """The flow run around this line is in the store before its child is."""
    flow_run = current_flow_run.get()
    if flow_run is not None and not flow_run.is_known:
        flow_run.make_known()


def _wait(fleet: Fleet, future: PrefectFuture[Any], request: RunRequest, queue: str) -> None:
    with waiting_for(queue):
        first = SILENT_SECONDS if request.timeout is None else min(SILENT_SECONDS, request.timeout)
        future.wait(first)
        if not future.settled and (request.timeout is None or request.timeout > first):
            warn_if_nobody_serves(fleet, request.name, queue)
            future.wait(None if request.timeout is None else request.timeout - first)


async def _wait_async(fleet: Fleet, future: PrefectFuture[Any], request: RunRequest, queue: str) -> None:
    with waiting_for(queue):
        first = SILENT_SECONDS if request.timeout is None else min(SILENT_SECONDS, request.timeout)
        await wait_async([future], first)
        if not future.settled and (request.timeout is None or request.timeout > first):
            await asyncio.to_thread(warn_if_nobody_serves, fleet, request.name, queue)
            await wait_async([future], None if request.timeout is None else request.timeout - first)


def warn_if_nobody_serves(fleet: Fleet, name: str, queue: str) -> None:
    """Say so in the log when no live process takes runs of this queue, and what to start."""
    try:
        if any(queue in facts.get("queues", "").split(",") for facts in fleet.live_workers().values()):
            return
        record = find_deployment(fleet.broker, name)
    except (BrokerError, ObjectNotFound):
        return
    pool = record.work_pool_name
    start = f"orchestrator worker start --pool {pool}" if pool else f"serve it ({record.entrypoint or 'my_flow'}.serve)"
    log.warning("nobody runs %r: its run waits until somebody does; start: %s", record.full_name, start)
