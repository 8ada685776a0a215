"""What runs here, as attributes: ``from orchestrator.runtime import flow_run, task_run``.

Outside a run every attribute is ``None`` (or empty). Follows Prefect 3 (``prefect.runtime``).
"""

from __future__ import annotations

from typing import Any

from orchestrator.context import current_attempt, current_flow_run

_FLOW = {"id": "run_id", "name": "name", "flow_name": "flow_name", "parameters": "parameters", "tags": "tags",
         "run_count": "run_count"}  # fmt: skip
_TASK = {"id": "run_id", "name": "name", "parameters": "parameters", "tags": "tags", "run_count": "run_count",
         "flow_run_id": "flow_run_id", "parent_task_run_id": "parent_task_run_id"}  # fmt: skip


class _FlowRunHere:
    """The flow run around this line: id, name, flow_name, parameters, tags, run_count."""

    def __getattr__(self, name: str) -> Any:
        if name not in _FLOW:
            raise AttributeError(f"runtime.flow_run has no {name!r}; it has {', '.join(_FLOW)}")
        run = current_flow_run.get()
        if run is None:
            attempt = current_attempt.get()
            return attempt.flow_run_id if name == "id" and attempt is not None else None
        return sorted(run.tags) if name == "tags" else getattr(run, _FLOW[name])


class _TaskRunHere:
    """The task run around this line: id, name, task_name, parameters, tags, run_count, flow_run_id, ..."""

    def __getattr__(self, name: str) -> Any:
        attempt = current_attempt.get()
        if name == "task_name":
            return attempt.task.name if attempt is not None else None
        if name not in _TASK:
            raise AttributeError(f"runtime.task_run has no {name!r}; it has task_name, {', '.join(_TASK)}")
        if attempt is None:
            return None
        return list(attempt.tags) if name == "tags" else getattr(attempt, _TASK[name])


flow_run = _FlowRunHere()
task_run = _TaskRunHere()
