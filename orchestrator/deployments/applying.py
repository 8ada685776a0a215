"""Writing a deployment: what its code gives replaces what there was, everything else stays."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from brokers.base import Broker
from brokers.errors import BrokerConflict
from orchestrator.automations.of_deployments import write_triggers
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.concurrency.declared import set_deployment_limit
from orchestrator.concurrency.deployment_limits import config_of
from orchestrator.deployments.code_origin import origin_of
from orchestrator.deployments.code_snapshots import SourceFiles
from orchestrator.deployments.loading import keep_here, note_loaded
from orchestrator.deployments.names import deployment_id_of, flow_id_of
from orchestrator.deployments.pools import queue_in_pool
from orchestrator.deployments.record import KIND, DeploymentRecord, record_of
from orchestrator.deployments.runner_deployment import RunnerDeployment, Unset
from orchestrator.deployments.schedules import write_schedules
from orchestrator.deployments.versions import Version, add_version
from orchestrator.errors import ConfigurationError
from orchestrator.inspection.known_flows import FLOW_KIND
from orchestrator.runnables.loading import is_loading
from orchestrator.work_pools.base_templates import PROCESS
from orchestrator.work_pools.job import check_variables, unknown_variables
from orchestrator.work_pools.lookup import pool_named

log = logging.getLogger("orchestrator.deployments")
TRIES: Final = 10  # others may write the same deployment meanwhile
LONGEST_PAUSE_SECONDS: Final = 0.5


def apply_deployment(deployment: RunnerDeployment, work_pool_name: str | None = None, image: str | None = None) -> str:
    """See :meth:`RunnerDeployment.apply`; returns the id. While code is loaded nothing is written."""
    fleet = current_fleet()
    deployment_id = deployment_id_of(fleet.settings.namespace, deployment.flow_name, deployment.name)
    if is_loading():
        return deployment_id
    wanted = replace(
        deployment,
        work_pool_name=work_pool_name or deployment.work_pool_name,
        image=image or deployment.image,
    )
    if wanted.work_pool_name is not None:
        queue_in_pool(fleet.broker, wanted.work_pool_name, wanted.work_queue_name)
        _warn_of_variables(fleet.broker, wanted)
    origin, files = _origin_of(wanted)
    if origin.place is None:
        keep_here(deployment_id, deployment.flow)
    archive = files.archive() if files is not None else None  # takes long: not while others may write
    for tries in range(TRIES):
        with suppress(BrokerConflict):
            record = _write(fleet, deployment_id, wanted, origin, archive)
            break
        time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS * tries / TRIES))
    else:
        raise BrokerConflict(f"deployment {deployment.full_name!r} is being changed by others all the time: try again")
    if wanted.schedules is not None:
        write_schedules(fleet, record, wanted.schedules)
    if wanted.triggers is not None:
        write_triggers(fleet, deployment_id, wanted.full_name, wanted.triggers)
    if not isinstance(wanted.concurrency_limit, Unset):
        set_deployment_limit(fleet, deployment_id, config_of(wanted.concurrency_limit))
    _know_flow(fleet, wanted)
    return deployment_id


def _warn_of_variables(broker: Broker, wanted: RunnerDeployment) -> None:
    """Job variables that the pool does not have would have no effect, as in Prefect 3, where nobody says so."""
    pool, given = pool_named(broker, wanted.work_pool_name or ""), wanted.job_variables or {}
    kind, template = (pool.type, pool.base_job_template) if pool is not None else (PROCESS, None)
    unknown = unknown_variables(template, given, kind)
    try:
        check_variables(template, given, kind)
    except ConfigurationError as error:
        log.warning("runs of %r could not be started: %s", wanted.full_name, error)
    if unknown:
        log.warning(
            "job variables of %r that the work pool %r does not have, and that have no effect: %s",
            wanted.full_name,
            wanted.work_pool_name,
            ", ".join(unknown),
        )


def _origin_of(wanted: RunnerDeployment) -> tuple[Version, SourceFiles | None]:
    origin, files = origin_of(wanted.flow)
    if origin.place is None and wanted.work_pool_name is not None:
        raise ConfigurationError(
            f"the flow {wanted.flow_name!r} was typed into a shell or a notebook: workers of the pool "
            f"{wanted.work_pool_name!r} cannot have it; write it into a file, or serve it here"
        )
    if origin.file:
        note_loaded(origin.file)
    schema = json.dumps(wanted.parameter_schema, sort_keys=True, default=str)
    return replace(
        origin,
        deployment_name=wanted.full_name,
        label=wanted.version or wanted.flow.options.version,
        image=wanted.image,
        schema_digest=hashlib.sha256(schema.encode()).hexdigest(),
    ), files


def _write(
    fleet: Fleet, deployment_id: str, wanted: RunnerDeployment, origin: Version, archive: bytes | None
) -> DeploymentRecord:
    """One try. Raises BrokerConflict: somebody else has written it meanwhile."""
    broker = fleet.broker
    (document,) = broker.documents.read(KIND, [deployment_id])
    before = record_of(document)
    number = add_version(broker, deployment_id, before.newest_version if before else 0, origin, archive)
    record = merged(before, deployment_id, wanted, origin, number)
    if record.work_pool_name is not None:
        queue = queue_in_pool(broker, record.work_pool_name, record.work_queue_name)
        record = replace(record, queue=queue, working_dir=_working_dir())
    if before is not None and _same(before, record):
        return before
    fields = record.document()
    if wanted.paused is not None or before is None:
        fields["p"] = b"1" if wanted.paused else b"0"
    broker.documents.write(
        KIND,
        deployment_id,
        fields,
        name=wanted.full_name,
        expected=before.generation if before is not None else 0,
    )
    return record


def _working_dir() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been deleted
        return None


def merged(
    before: DeploymentRecord | None, deployment_id: str, wanted: RunnerDeployment, origin: Version, number: int
) -> DeploymentRecord:
    """The deployment as it is then. What code gives by itself (place, schema, description) is as the code has it."""
    record = before or DeploymentRecord(deployment_id, wanted.name, wanted.flow_name, created_at=time.time())
    given: dict[str, Any] = {
        "parameters": wanted.parameters,
        "frozen": wanted.frozen if wanted.parameters is not None else None,
        "tags": None if wanted.tags is None else tuple(wanted.tags),
        "enforce_parameter_schema": wanted.enforce_parameter_schema,
        "work_pool_name": wanted.work_pool_name,
        "work_queue_name": wanted.work_queue_name,
        "job_variables": wanted.job_variables,
        "image": wanted.image,
        "priority": wanted.priority,
        "max_deliveries": wanted.max_deliveries,
        "paused": wanted.paused,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not isinstance(wanted.concurrency_limit, Unset):
        limit = config_of(wanted.concurrency_limit)
        changes["concurrency_limit"] = None if limit is None else limit.model_dump(mode="json")
    return replace(
        record,
        entrypoint=origin.entrypoint if origin.place is not None else None,
        parameter_schema=wanted.parameter_schema,
        description=wanted.description or wanted.flow.description,
        label=origin.label or (origin.commit[:12] or None),
        isasync=wanted.flow.isasync,
        version_number=number,
        newest_version=max(number, record.newest_version),
        trouble="",
        **changes,
    )


def _same(before: DeploymentRecord, after: DeploymentRecord) -> bool:
    return not before.trouble and before == after


def _know_flow(fleet: Fleet, wanted: RunnerDeployment) -> None:
    """Flows with deployments are listed, whether they have run or not."""
    broker: Broker = fleet.broker
    if broker.documents.find(FLOW_KIND, [wanted.flow_name]) == [None]:
        with suppress(BrokerConflict):  # another process was quicker
            flow_id = flow_id_of(fleet.settings.namespace, wanted.flow_name)
            broker.documents.write(FLOW_KIND, flow_id, {}, name=wanted.flow_name, only_new=True)
