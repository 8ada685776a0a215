"""Deployments as other programs define them: by plain values, without the flow's code at hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from brokers.errors import BrokerConflict
from orchestrator.client.conflicts import retried_on_conflict
from orchestrator.client.fleet import Fleet
from orchestrator.client.schemas.limits import ConcurrencyLimitConfig
from orchestrator.concurrency.declared import set_deployment_limit
from orchestrator.deployments.applying import TRIES
from orchestrator.deployments.names import check_name, deployment_id_of, flow_id_of
from orchestrator.deployments.parameter_schema import check_parameters, plain_parameters
from orchestrator.deployments.pools import queue_in_pool
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of
from orchestrator.deployments.versions import Version, add_version
from orchestrator.errors import ConfigurationError, ObjectNotFound
from orchestrator.inspection.known_flows import FLOW_KIND

PLAIN: Final = frozenset(
    (
        "parameters", "parameter_schema", "enforce_parameter_schema", "description", "tags", "work_pool_name",
        "work_queue_name", "job_variables",
    )
)  # fmt: skip
"""What is changed as it is given; beside them ``paused``, ``entrypoint``, ``label`` and ``concurrency_limit``."""


def define_flow(fleet: Fleet, name: str, who: str = "") -> tuple[str, bool]:
    """Have a flow be listed though it has no run; its id, and whether it is new. Raises ValueError, BrokerError."""
    flow_id = flow_id_of(fleet.settings.namespace, check_name(name, "flow"))
    with suppress(BrokerConflict):
        fleet.broker.documents.write(FLOW_KIND, flow_id, {}, name=name, only_new=True, who=who)
        return flow_id, True
    return flow_id, False


def define_deployment(
    fleet: Fleet, flow_name: str, name: str, changes: Mapping[str, Any], who: str = ""
) -> tuple[DeploymentRecord, bool]:
    """Create a deployment, or change what is given of it; the record, and whether it is new.

    Args:
        fleet: where it is kept.
        flow_name, name: it is called ``flow_name/name``.
        changes: names in :data:`PLAIN` and those beside them; what is not given stays.
        who: for the audit.

    Raises:
        ValueError: a name that is not allowed. ObjectNotFound: there is no such work pool.
        ParameterBindError, ParameterTypeError: the parameters do not fit. BrokerConflict, BrokerError.
    """
    check_name(name)
    deployment_id = deployment_id_of(fleet.settings.namespace, check_name(flow_name, "flow"), name)
    fresh = DeploymentRecord(deployment_id, name, flow_name, created_at=time.time())
    before, record = _written(fleet, deployment_id, fresh, changes, who)
    define_flow(fleet, flow_name, who)
    return record, before is None


def change_deployment(fleet: Fleet, deployment_id: str, changes: Mapping[str, Any], who: str = "") -> DeploymentRecord:
    """Change what is given of a deployment. Raises ObjectNotFound: there is none; and as :func:`define_deployment`."""
    return _written(fleet, deployment_id, None, changes, who)[1]


def _written(
    fleet: Fleet, deployment_id: str, fresh: DeploymentRecord | None, changes: Mapping[str, Any], who: str
) -> tuple[DeploymentRecord | None, DeploymentRecord]:
    def change() -> tuple[DeploymentRecord | None, DeploymentRecord]:
        (document,) = fleet.broker.documents.read(KIND, [deployment_id])
        before = record_of(document)
        if before is None and fresh is None:
            raise ObjectNotFound(f"Deployment {deployment_id!r} not found!")
        if before is not None and before.trouble:
            raise ConfigurationError(f"deployment {before.full_name!r} cannot be changed here: {before.trouble}")
        return before, _write(fleet, before or fresh, before, changes, who)

    written = retried_on_conflict(change, TRIES)
    if "concurrency_limit" in changes:
        limit: Any = changes["concurrency_limit"]
        set_deployment_limit(fleet, deployment_id, ConcurrencyLimitConfig(**limit) if limit is not None else None)
    return written


def _write(
    fleet: Fleet, found: Any, before: DeploymentRecord | None, changes: Mapping[str, Any], who: str
) -> DeploymentRecord:
    """One try. Raises BrokerConflict: somebody else has written it meanwhile."""
    record: DeploymentRecord = replace(found, **{name: value for name, value in changes.items() if name in PLAIN})
    for name in ("entrypoint", "label", "concurrency_limit", "paused"):
        if name in changes:
            record = replace(record, **{name: changes[name]})
    record = replace(record, parameters=plain_parameters(record.parameters), tags=tuple(record.tags))
    if record.enforce_parameter_schema and record.parameter_schema:
        check_parameters(record.parameter_schema, record.parameters, f"deployment {record.full_name!r}")
    if record.work_pool_name is not None:
        queue = queue_in_pool(fleet.broker, record.work_pool_name, record.work_queue_name)
        record = replace(record, queue=queue)
    if before is None or {"entrypoint", "label"} & changes.keys():
        record = _with_version(fleet, record, who)
    fields = record.document()
    if before is None or "paused" in changes:
        fields["p"] = b"1" if record.paused else b"0"
    generation = before.generation if before is not None else 0
    fleet.broker.documents.write(KIND, record.id, fields, name=record.full_name, expected=generation, who=who)
    return record


def _with_version(fleet: Fleet, record: DeploymentRecord, who: str) -> DeploymentRecord:
    """Whoever runs it finds its code by the entrypoint; nothing of it is kept here."""
    place, _, function = (record.entrypoint or "").rpartition(":")
    origin = Version(
        0,
        deployment_name=record.full_name,
        place=place or None,
        function=function,
        file=place if place.endswith(".py") else "",
        label=record.label,
        isasync=record.isasync,
    )
    number = add_version(fleet.broker, record.id, record.newest_version, origin, None, who)
    return replace(record, version_number=number, newest_version=max(number, record.newest_version))
