"""A run of a deployment as an envelope: a call in a queue, with the record of the flow run written beside it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgpack

from brokers.messages import ASYNC_LANE, SYNC_LANE, Envelope, Route
from brokers.schema import DEPLOYMENT_CALL, READABLE_BY, VERSION, CallMeta, Extra
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.client.schemas.limits import ConcurrencyLimitConfig
from orchestrator.concurrency.deployment_limits import extras_of
from orchestrator.deployments.names import pool_id_of
from orchestrator.deployments.pools import DEFAULT_QUEUE
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.deployments.stored_values import check_no_places
from orchestrator.errors import ConfigurationError
from orchestrator.execution.flow_texts import parameters_of
from orchestrator.inspection.values import Redaction
from orchestrator.serializers.outcomes import flow_message
from orchestrator.submission.signed_calls import call_context


class RunWishes(NamedTuple):
    """What somebody wants of one run; the rest is its deployment's.

    Attributes:
        name: of the flow run; made of the flow's name and the id unless given.
        expected_at: unix seconds; when it is to begin. ``None``: now.
        delay_ms: from the store's now; beside ``expected_at`` since this machine's clock may be wrong.
        tags: beside the deployment's.
        job_variables: over the deployment's; taken as they are, blocks and variables are not put in.
        version: number of the version that runs; 0: the current one, decided when the run is made.
        label: of that version.
        isasync: of that version's flow; ``None``: as the deployment's.
        message: of its first state.
        schedule_id, tick_ms, missed: the schedule that made it, its tick, and how many before that had no run.
        parent_flow_run_id, parent_task_run_id, root_flow_run_id, parent_deployment_id: of the run that made it.
        cancel_with_parent: it is cancelled when its parent is.
        idempotency_key: the run of an earlier call with this key is meant, if there is one.
        priority, queue: of the call, instead of the deployment's.
        work_queue: the name of that queue in the deployment's work pool.
        expires_ms: not begun by then, it is cancelled.
    """

    name: str | None = None
    expected_at: float | None = None
    delay_ms: int = 0
    tags: Iterable[str] = ()
    job_variables: Mapping[str, Any] | None = None
    version: int = 0
    label: str | None = None
    isasync: bool | None = None
    message: str = ""
    schedule_id: str | None = None
    tick_ms: int = 0
    missed: int = 0
    parent_flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    root_flow_run_id: str | None = None
    parent_deployment_id: str | None = None
    cancel_with_parent: bool = False
    idempotency_key: str | None = None
    priority: str | None = None
    queue: str | None = None
    work_queue: str | None = None
    expires_ms: int | None = None


NO_WISHES = RunWishes()


def envelope_for_run(
    fleet: Fleet,
    record: DeploymentRecord,
    run_id: str,
    parameters: Mapping[str, Any],
    wishes: RunWishes = NO_WISHES,
    *,
    watched: bool = False,
) -> Envelope:
    """The envelope of a run; nothing is read or written.

    Args:
        fleet: whose keys sign it.
        record: the deployment.
        run_id: the id that the run has.
        parameters: all of them, filled in and checked, as JSON has them.
        wishes: what somebody wants of this run.
        watched: its end is sent to this process's inbox.

    Raises:
        ConfigurationError: the deployment cannot be read here, or a job variable of the run names a block or variable.
        SerializationError, PayloadTooLarge: the parameters cannot be sent.
    """
    if record.trouble:
        raise ConfigurationError(f"no run of deployment {record.full_name!r} can be made: {record.trouble}")
    queue = wishes.queue or record.run_queue
    isasync = record.isasync if wishes.isasync is None else wishes.isasync
    route = str(Route(queue, wishes.priority or record.priority, ASYNC_LANE if isasync else SYNC_LANE))
    tags = sorted({*record.tags, *wishes.tags})
    meta = CallMeta(
        tags=tags,
        task_name=record.flow_name,
        parent_run_id=wishes.parent_task_run_id,
        scheduled=[wishes.schedule_id, wishes.tick_ms, wishes.missed]
        if wishes.schedule_id and wishes.tick_ms
        else None,
        signed_for=queue if fleet.protection.signs else None,
        written_by=VERSION,
        readable_by=READABLE_BY,
    ).pack()
    body, _ = serializers.pack_call(
        (),
        {"deployment": record.id, "parameters": dict(parameters), "facts": _facts_for_the_run(record, wishes)},
        context=lambda: call_context(DEPLOYMENT_CALL, run_id, meta),
        limits=fleet.limits,
    )
    reply_to = fleet.open_inbox() if watched else None
    extras = _extras(fleet, record, run_id, parameters, wishes, tags)
    return Envelope(run_id, DEPLOYMENT_CALL, route, body, wishes.parent_flow_run_id, reply_to, meta, extras)


def _facts_for_the_run(record: DeploymentRecord, wishes: RunWishes) -> dict[str, Any]:
    """What the run is to know of itself: see :class:`orchestrator.runs.deployed.DeployedRun`."""
    own = wishes.job_variables or {}
    check_no_places(own)
    facts = {
        "deployment_name": record.full_name,
        "version": wishes.version or record.version_number,
        "version_label": wishes.label if wishes.version else record.label,
        "run_name": wishes.name,
        "expected_at": wishes.expected_at,
        "job_variables": {**record.job_variables, **own} or None,
        "own_job_variables": list(own),
        "schedule_id": wishes.schedule_id,
        "idempotency_key": wishes.idempotency_key,  # this and the next are for those who ask for the run
        "work_queue_name": _work_queue(record, wishes) if record.work_pool_name else None,
        "parent_deployment_id": wishes.parent_deployment_id,
        "root_flow_run_id": wishes.root_flow_run_id,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _work_queue(record: DeploymentRecord, wishes: RunWishes) -> str:
    return wishes.work_queue or record.work_queue_name or DEFAULT_QUEUE


def _extras(
    fleet: Fleet,
    record: DeploymentRecord,
    run_id: str,
    parameters: Mapping[str, Any],
    wishes: RunWishes,
    tags: list[str],
) -> dict[str, Any]:
    settings = fleet.settings
    facts = _flow_facts(record, run_id, wishes, tags)
    facts["parameters"] = parameters_of(run_id, parameters, Redaction(settings.redacted_names))
    extras: dict[str, Any] = {
        Extra.FLOW_RECORD: [part for pair in facts.items() for part in pair],
        Extra.FLOW_RECORD_TTL: int(settings.flow_run_ttl_seconds * 1000),
    }
    limit = record.concurrency_limit  # without one, too: what is declared later holds for runs that wait
    pool = record.work_pool_name
    extras |= extras_of(
        ConcurrencyLimitConfig(**limit) if limit else None,
        record.id,
        pool_id=pool_id_of(settings.namespace, pool) if pool else None,
        work_queue=_work_queue(record, wishes),
    )
    if wishes.delay_ms:
        extras[Extra.DELAY] = wishes.delay_ms
    if wishes.expires_ms is not None:
        extras[Extra.EXPIRES] = wishes.expires_ms
    if wishes.idempotency_key is not None:
        key = f"{record.id}:{wishes.idempotency_key}"
        extras[Extra.IDEMPOTENCY] = [key, int(settings.result_ttl_seconds * 1000)]
    if record.max_deliveries is not None:
        extras[Extra.MAX_DELIVERIES] = str(record.max_deliveries)
    return extras


def _flow_facts(record: DeploymentRecord, run_id: str, wishes: RunWishes, tags: list[str]) -> dict[str, str | bytes]:
    """The record of the flow run: what people see of it before it has begun."""
    now = time.time()
    facts: dict[str, str | bytes] = {
        "flow": record.flow_name,
        "name": wishes.name or f"{record.flow_name}-{run_id[-4:]}",
        "type": "SCHEDULED",
        "state": "Scheduled",
        "message": flow_message(run_id, wishes.message),
        "at": f"{now:.3f}",
        "created": f"{now:.3f}",
        "runs": "0",
        "parent": wishes.parent_flow_run_id or "",
        "deployment": record.id,
        "dname": record.full_name,
        "version": str(wishes.version or record.version_number),
        "expected": f"{wishes.expected_at if wishes.expected_at is not None else now:.3f}",
        "schedule": wishes.schedule_id or "",
        "pdeployment": wishes.parent_deployment_id or "",
        "tags": msgpack.packb(tags),
        "pool": record.work_pool_name or "",
        "with_parent": "1" if wishes.cancel_with_parent else "",
    }
    return {
        name: value.encode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in facts.items()
        if value
    }
