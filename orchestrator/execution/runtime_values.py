"""What runs here, as attributes. Users import ``runtime.py``; names of result files are made of them, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.runs.current import current_attempt, current_flow_run
from orchestrator.runs.deployed import DeployedRun

_FLOW: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[], Any]]]] = {
    "id": (lambda run: run.run_id, lambda: None),
    "name": (lambda run: run.name, lambda: None),
    "flow_name": (lambda run: run.flow.name, lambda: None),
    "flow_version": (lambda run: run.flow_version, lambda: None),
    "parameters": (lambda run: run.parameters, dict),
    "tags": (lambda run: sorted(run.tags), list),
    "run_count": (lambda run: run.run_count, lambda: 0),
    "parent_flow_run_id": (lambda run: run.parent_flow_run_id, lambda: None),
    "root_flow_run_id": (lambda run: run.root_flow_run_id, lambda: None),
    "scheduled_start_time": (lambda run: run.expected_start_time, lambda: datetime.now(UTC)),
    "parent_deployment_id": (lambda run: run.parent_deployment_id, lambda: None),
    "job_variables": (lambda run: run.job_variables, lambda: None),
    "api_url": (lambda run: _address("api_url", "flow_runs", run.run_id), lambda: None),
    "ui_url": (lambda run: _address("ui_url", "flows", run.run_id), lambda: None),
}
_OF_ITS_ID: Final = {"id": lambda run_id: run_id} | {
    name: lambda run_id, name=name, path=path: _address(name, path, run_id)
    for name, path in (("api_url", "flow_runs"), ("ui_url", "flows"))
}  # what a task on a worker knows of its flow run without asking the store
_DEPLOYMENT: Final[Mapping[str, tuple[Callable[[DeployedRun], Any], Callable[[], Any]]]] = {
    "id": (lambda run: run.deployment_id, lambda: None),
    "name": (lambda run: run.name, lambda: None),
    "version": (lambda run: run.version_label or (str(run.version) if run.version else None), lambda: None),
    "flow_run_id": (lambda run: _FlowRunHere().id, lambda: None),
    "parameters": (lambda run: _FlowRunHere().parameters, dict),
}
_TASK: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[], Any]]]] = {
    "id": (lambda attempt: attempt.run_id, lambda: None),
    "name": (lambda attempt: attempt.name, lambda: None),
    "task_name": (lambda attempt: attempt.task.name, lambda: None),
    "parameters": (lambda attempt: attempt.parameters, dict),
    "tags": (lambda attempt: list(attempt.tags), list),
    "run_count": (lambda attempt: attempt.run_count, lambda: 0),
    "flow_run_id": (lambda attempt: attempt.flow_run_id, lambda: None),
    "parent_task_run_id": (lambda attempt: attempt.parent_task_run_id, lambda: None),
    "api_url": (lambda attempt: _address("api_url", "task_runs", attempt.run_id), lambda: None),
    "ui_url": (lambda attempt: _address("ui_url", "runs", attempt.run_id), lambda: None),
}
_KEPT: Final = {
    "name": "name",
    "flow_name": "flow",
    "parent_flow_run_id": "parent",
    "parent_deployment_id": "pdeployment",
}  # in the record of a flow run


class _FlowRunHere:
    """The flow run around this line; in a task that a worker runs, the one that submitted it."""

    def __getattr__(self, name: str) -> Any:
        if name not in _FLOW:
            raise AttributeError(f"runtime.flow_run has no {name!r}; it has {', '.join(_FLOW)}")
        read, nothing = _FLOW[name]
        run: Any = current_flow_run.get()
        if run is not None:
            return read(run)
        attempt = current_attempt.get()
        if attempt is None or attempt.flow_run_id is None:
            return nothing()
        if name in _OF_ITS_ID:
            return _OF_ITS_ID[name](attempt.flow_run_id)
        return _from_its_record(attempt.flow_run_id, name) or nothing()

    def __dir__(self) -> list[str]:
        return sorted(_FLOW)


def _address(setting: str, path: str, run_id: str) -> str | None:
    """Where a run is on the server, as far as the setting says where that is."""
    from orchestrator.settings import current

    base: str | None = getattr(current(), setting)
    return f"{base.rstrip('/')}/{path}/{run_id}" if base else None


def _from_its_record(flow_run_id: str, name: str) -> str | None:
    """What the store has of a flow run that another process runs; ``None`` where it has nothing."""
    if name not in _KEPT:
        return None
    return _record_of(flow_run_id).get(_KEPT[name], b"").decode("utf-8", "replace") or None


def _record_of(flow_run_id: str) -> dict[str, bytes]:
    from orchestrator.client.fleet import known_fleet
    from orchestrator.errors import BrokerError

    fleet = known_fleet()
    if fleet is None:
        return {}
    try:
        return fleet.broker.flow_runs.read(flow_run_id)
    except BrokerError:
        return {}


class _DeploymentHere:
    """The deployment that the flow run around this line, or the nearest one around that, is a run of."""

    def __getattr__(self, name: str) -> Any:
        if name not in _DEPLOYMENT:
            raise AttributeError(f"runtime.deployment has no {name!r}; it has {', '.join(_DEPLOYMENT)}")
        read, nothing = _DEPLOYMENT[name]
        run: Any = current_flow_run.get()
        if run is not None:
            deployed = run.deployment_here
        else:
            deployed = _deployment_in_record(current_attempt.get())
        return nothing() if deployed is None else read(deployed)

    def __dir__(self) -> list[str]:
        return sorted(_DEPLOYMENT)


def _deployment_in_record(attempt: Any) -> DeployedRun | None:
    """For a task on a worker: what the store has of the flow run that submitted it."""
    if attempt is None or attempt.flow_run_id is None:
        return None
    fields = _record_of(attempt.flow_run_id)
    if not fields.get("deployment"):
        return None
    number = fields.get("version", b"")
    return DeployedRun(
        fields["deployment"].decode(),
        fields.get("dname", b"").decode("utf-8", "replace"),
        int(number) if number.isdigit() else 0,
    )


class _TaskRunHere:
    """The task run around this line."""

    def __getattr__(self, name: str) -> Any:
        if name not in _TASK:
            raise AttributeError(f"runtime.task_run has no {name!r}; it has {', '.join(_TASK)}")
        read, nothing = _TASK[name]
        attempt: Any = current_attempt.get()
        return nothing() if attempt is None else read(attempt)

    def __dir__(self) -> list[str]:
        return sorted(_TASK)


deployment = _DeploymentHere()
flow_run = _FlowRunHere()
task_run = _TaskRunHere()

__all__ = ["deployment", "flow_run", "task_run"]
