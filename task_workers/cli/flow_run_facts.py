"""What is known of one flow run, for people and for JSON."""

from __future__ import annotations

import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet


def facts_of_flow_run(fleet: Fleet, flow_run_id: str) -> dict[str, Any]:
    """A flow run as a table; moments as ISO 8601 texts.

    Raises:
        ObjectNotFound: the store knows no such flow run. BrokerError.
    """
    from orchestrator.deployments.flow_run_value import read_flow_run
    from orchestrator.errors import BrokerRefused
    from orchestrator.inspection.values import Redaction
    from orchestrator.runs.stored_result import StoredResult

    with suppress(BrokerRefused):  # this user of the server may only read
        fleet.flow_reports.end_silent_runs()
    run = read_flow_run(fleet, flow_run_id)
    facts: dict[str, Any] = {
        "id": str(run.id),
        "name": run.name,
        "flow": run.flow_name,
        "state": run.state_name,
        "type": run.state_type.value,
        "message": run.state.message,
        "deployment": run.deployment_name,
        "deployment_id": run.deployment_id and str(run.deployment_id),
        "version": run.deployment_version,
        "parameters": Redaction(fleet.settings.redacted_names).of(run.parameters),
        "tags": list(run.tags),
        "work_pool": run.work_pool_name,
        "created": _iso(run.created),
        "expected": _iso(run.expected_start_time),
        "began": _iso(run.start_time),
        "ended": _iso(run.end_time),
        "run_count": run.run_count,
        "parent": run.parent_flow_run_id and str(run.parent_flow_run_id),
    }
    if run.state.is_completed():
        facts["result"] = run.state.data.facts if isinstance(run.state.data, StoredResult) else run.state.data
    elif (error := run.state.error()) is not None:
        facts["error"] = "".join(traceback.format_exception(error)).rstrip()
    return facts


def _iso(moment: Any) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment is not None else None
