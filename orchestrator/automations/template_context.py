"""What templates see: the event, the automation, and what people see of the run, flow, deployment and pool in question.

All of it is plain values, read when an action is done; what is not there is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.automations.seen_event import SeenEvent
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.flow_run_value import FlowRun, read_flow_runs
from orchestrator.deployments.lookup import read_deployments
from orchestrator.deployments.names import flow_id_of
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.inspection.values import plain_value
from orchestrator.work_pools.lookup import pool_named


def context_for(fleet: Fleet, facts: Mapping[str, Any], event: SeenEvent | None) -> dict[str, Any]:
    """The values for the templates of an action.

    Args:
        fleet: where runs and deployments are read.
        facts: of the call: its automation and firing.
        event: the last one that counted.

    Raises:
        BrokerError: the server does not answer.
    """
    context: dict[str, Any] = {
        "automation": facts.get("automation") or {},
        "firing": facts.get("firing") or {},
        "labels": (facts.get("firing") or {}).get("labels") or {},
        "event": _event(event),
        "ui_url": _ui_url(fleet),
        "flow_run": None,
        "flow": None,
        "deployment": None,
        "work_pool": None,
    }
    if event is None:
        return context
    context |= _subject(event)
    run = _flow_run(fleet, event)
    if run is not None:
        shown = shown_run(fleet, run)
        if event.ids_of("flow-run")[0] in event.resource_id and context["state"]["name"]:
            shown |= {"state": context["state"], "state_name": context["state"]["name"]}  # of the event: it may go on
        context |= {"flow_run": shown, "flow": _flow(fleet, run.flow_name)}
    deployment = _deployment(fleet, event, run)
    if deployment is not None:
        context["deployment"] = shown_deployment(fleet, deployment)
        context["flow"] = context["flow"] or _flow(fleet, deployment.flow_name)
    name = _pool_name(event, run, deployment)
    pool = pool_named(fleet.broker, name) if name else None
    if pool is not None:
        context["work_pool"] = {"id": pool.id, "name": pool.name, "type": pool.type, "paused": pool.paused}
    return context


def _event(event: SeenEvent | None) -> dict[str, Any]:
    if event is None:
        return {"event": "", "resource": {}, "related": [], "payload": {}, "name": ""}
    facts = event.as_facts()
    resource = {**facts["resource"], "id": event.resource_id, "name": event.label("prefect.resource.name") or ""}
    return {**facts, "name": event.event, "resource": resource}


def _subject(event: SeenEvent) -> dict[str, Any]:
    """What the event is about, in words, and the state in which it says that it is."""
    kind = event.resource_id.removeprefix("prefect.").partition(".")[0].replace("-", " ")
    state = {part: event.label(f"prefect.state-{part}") or "" for part in ("type", "name", "message")}
    name = event.label("prefect.resource.name") or event.resource_id
    return {"what": kind.capitalize(), "name": name, "state": state}


def _flow_run(fleet: Fleet, event: SeenEvent) -> FlowRun | None:
    ids = event.ids_of("flow-run")
    return read_flow_runs(fleet, [ids[0]])[0] if ids and _is_uuid(ids[0]) else None


def _deployment(fleet: Fleet, event: SeenEvent, run: FlowRun | None) -> DeploymentRecord | None:
    ids = event.ids_of("deployment")
    wanted = ids[0] if ids else str(run.deployment_id) if run is not None and run.deployment_id is not None else None
    return read_deployments(fleet.broker, [wanted])[0] if wanted is not None else None


def _pool_name(event: SeenEvent, run: FlowRun | None, deployment: DeploymentRecord | None) -> str | None:
    if run is not None and run.work_pool_name:
        return run.work_pool_name
    if deployment is not None and deployment.work_pool_name:
        return deployment.work_pool_name
    prefix = "prefect.work-pool."
    named = (one for one in (event.resource, *event.related) if one.get("prefect.resource.id", "").startswith(prefix))
    return next((one.get("prefect.resource.name") for one in named), None)


def shown_run(fleet: Fleet, run: FlowRun) -> dict[str, Any]:
    """A flow run as templates see it."""
    return {
        "id": str(run.id),
        "name": run.name,
        "flow_name": run.flow_name,
        "flow_id": flow_id_of(fleet.settings.namespace, run.flow_name),
        "state": _state(run),
        "state_name": run.state_name,
        "state_type": run.state_type.value,
        "parameters": {name: _value(shown) for name, shown in run.parameters.items()},
        "tags": list(run.tags),
        "deployment_id": str(run.deployment_id) if run.deployment_id else None,
        "deployment_name": run.deployment_name,
        "deployment_version": run.deployment_version,
        "work_pool_name": run.work_pool_name,
        "run_count": run.run_count,
        "parent_flow_run_id": str(run.parent_flow_run_id) if run.parent_flow_run_id else None,
        **{name: _moment(getattr(run, name)) for name in ("created", "expected_start_time", "start_time", "end_time")},
        "total_run_time": _seconds(run),
        "ui_url": f"{_ui_url(fleet)}/flows/{run.id}",
    }


def _state(run: FlowRun) -> dict[str, Any]:
    state = run.state
    return {
        "type": state.type.value,
        "name": state.name,
        "message": state.message or "",
        "timestamp": _moment(getattr(state, "timestamp", None)),
    }


def shown_deployment(fleet: Fleet, record: DeploymentRecord) -> dict[str, Any]:
    """A deployment as templates see it."""
    return {
        "id": record.id,
        "name": record.name,
        "full_name": record.full_name,
        "flow_name": record.flow_name,
        "flow_id": flow_id_of(fleet.settings.namespace, record.flow_name),
        "tags": list(record.tags),
        "description": record.description or "",
        "paused": record.paused,
        "version": record.version_number,
        "work_pool_name": record.work_pool_name,
        "work_queue_name": record.work_queue_name,
    }


def _flow(fleet: Fleet, name: str) -> dict[str, Any]:
    return {"id": flow_id_of(fleet.settings.namespace, name), "name": name}


def _ui_url(fleet: Fleet) -> str:
    """Where the pages are, without a slash at the end; empty where no setting says it."""
    return (fleet.settings.ui_url or "").rstrip("/")


def _moment(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else None


def _seconds(run: FlowRun) -> float | None:
    if run.start_time is None or run.end_time is None:
        return None
    return round((run.end_time - run.start_time).total_seconds(), 3)


def _plain(value: Any) -> Any:
    """Nothing but what JSON has, so that a template can reach nothing else."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _value(shown: Any) -> Any:
    """The value of a parameter, of which the record of the run keeps a text; what was cut or is secret stays text."""
    return _plain(plain_value(shown) if isinstance(shown, str) else shown)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def first_of(ids: Iterable[str]) -> str | None:
    """The first one that is a UUID."""
    return next((one for one in ids if _is_uuid(one)), None)


__all__ = ["context_for", "first_of", "shown_deployment", "shown_run"]
