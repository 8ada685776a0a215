"""What the store keeps of a flow run, for others to see."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Protocol

from orchestrator.serializers.outcomes import flow_message
from orchestrator.states import State

log = logging.getLogger("orchestrator.flow_runs")


class RecordedRun(Protocol):
    """What is recorded of a flow run; see :class:`orchestrator.execution.flow_run.FlowRun`."""

    flow: Any
    run_id: str
    name: str
    parameters: dict[str, Any]
    start_time: datetime
    run_count: int
    delivery: Any
    storing: Any
    shown_parameters: bytes | None

    @property
    def parent_flow_run_id(self) -> str | None:
        """The flow run that called this one."""


def record_of(run: RecordedRun, state: State[Any]) -> dict[str, str | bytes]:
    """The fields of the record of a run that is in this state."""
    record: dict[str, str | bytes] = {
        "flow": run.flow.name,
        "name": run.name,
        "type": state.type.value,
        "state": state.name,
        "message": flow_message(run.run_id, state.message or ""),
        "began": f"{run.start_time.timestamp():.3f}",
        "at": f"{state.timestamp.timestamp():.3f}",
        "runs": str(run.run_count),
        "parent": run.parent_flow_run_id or "",
        **_texts(run, state),
    }
    if run.delivery is not None and run.run_count > 1:
        del record["began"]  # as the first attempt recorded
    return {
        name: value.encode("utf-8", "replace") if isinstance(value, str) and not value.isascii() else value
        for name, value in record.items()
    }


def _texts(run: RecordedRun, state: State[Any]) -> dict[str, str | bytes]:
    """Parameters, and how it ended, for people."""
    # What shows values is a lot of modules, and not needed without a store.
    from orchestrator.execution import flow_texts
    from orchestrator.inspection.values import Redaction
    from orchestrator.settings import current

    try:
        redaction = Redaction(current().redacted_names)
        if run.shown_parameters is None:
            run.shown_parameters = flow_texts.parameters_of(run.run_id, run.parameters, redaction)
        texts: dict[str, str | bytes] = {"parameters": run.shown_parameters}
        stored = run.storing.stored if run.storing is not None else None
        return texts | (flow_texts.end_of(run.run_id, state, redaction, stored) if state.is_final() else {})
    except Exception as error:  # the values are the user's: whatever they do costs the page a text, not the flow
        log.warning("parameters and end of flow run %s are not shown: %r", run.name, error)
        return {}
