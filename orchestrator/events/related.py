"""What has to do with the run around the current line, for the events that its code emits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from brokers.stored import text
from orchestrator.client.fleet import Fleet
from orchestrator.deployments.names import flow_id_of
from orchestrator.errors import BrokerError
from orchestrator.events.names import FLOW_RUN, RESOURCE_ID, TASK_RUN
from orchestrator.events.run_events import Labels, flow_related, labelled, tag
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags

_FIELDS: Final = ("flow", "name", "deployment", "dname", "pool", "tags")


def related_to_this_run(fleet: Fleet) -> list[Labels]:
    """Flow run, task run, flow, deployment, work pool and tags; nothing outside a run. Never raises."""
    run, attempt = current_flow_run.get(), current_attempt.get()
    flow_run_id = run.run_id if run is not None else attempt.flow_run_id if attempt is not None else None
    fields = _record(fleet, flow_run_id) if flow_run_id is not None else {}
    related: list[Labels] = []
    if flow_run_id is not None:
        name = run.name if run is not None else text(fields.get("name"))
        related.append(labelled(FLOW_RUN, flow_run_id, FLOW_RUN, name))
    if run is not None:
        related.append(labelled("flow", flow_id_of(fleet.settings.namespace, run.flow.name), "flow", run.flow.name))
    if attempt is not None and attempt.run_id != flow_run_id:
        related.append(labelled(TASK_RUN, attempt.run_id, TASK_RUN, attempt.name))
    related += flow_related(fleet.settings.namespace, fields)
    tags = {*current_tags.get(), *getattr(attempt, "tags", ())}
    return _once([*related, *(tag(one) for one in sorted(tags))])


def _record(fleet: Fleet, flow_run_id: str) -> dict[str, bytes]:
    try:
        (fields,) = fleet.broker.flow_runs.read_many([flow_run_id], _FIELDS)
    except BrokerError:
        return {}
    return fields


def _once(related: Iterable[Labels]) -> list[Labels]:
    return list({labels[RESOURCE_ID]: labels for labels in related}.values())
