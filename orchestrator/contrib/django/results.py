"""Our records as results of Django's Tasks framework."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.utils.module_loading import import_string

from brokers.messages import Status
from orchestrator import serializers
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.contrib.django.framework import base, exceptions
from orchestrator.errors import SerializationError
from orchestrator.inspection.views import RunView, view_of
from orchestrator.serializers.signing import Parts
from orchestrator.states import State, StateType
from orchestrator.submission.signed_calls import call_context

TAG: Final = "django:"  # followed by the task's path, which is known even when the arguments are no longer kept
_STATUSES: Final = {
    StateType.RUNNING: "RUNNING",
    StateType.CANCELLING: "RUNNING",
    StateType.COMPLETED: "SUCCESSFUL",
    StateType.FAILED: "FAILED",
    StateType.CANCELLED: "FAILED",
    StateType.CRASHED: "FAILED",
}


class Arguments(NamedTuple):
    """The arguments of a call, as far as they are kept."""

    args: list[Any]
    kwargs: dict[str, Any]


def task_at(path: str, alias: str) -> Any:
    """The task at an import path, for a backend."""
    found = import_string(path)
    if not isinstance(found, base.Task):  # the name is the function's own: it was wrapped under another
        return base.Task(func=found, backend=alias)
    return found if found.backend == alias else replace(found, backend=alias)


def task_error(error: BaseException) -> Any:
    """An exception in the form of Django's results."""
    kind = type(error)
    text = "".join(traceback.format_exception(error))
    return base.TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=text)


def result_of(run_id: str, alias: str) -> Any:
    """The result of a run.

    Raises:
        TaskResultDoesNotExist: no run has that id, or it is not a run of Django's tasks.
        BrokerError: the store does not respond.
    """
    fleet = current_fleet()
    view, state, body_context = _read_run(fleet, run_id)
    path = next((tag.removeprefix(TAG) for tag in view.tags if tag.startswith(TAG)), None)
    if path is None:
        raise exceptions.TaskResultDoesNotExist(run_id)
    arguments = _arguments(fleet, run_id, body_context)
    status = base.TaskResultStatus[_STATUSES.get(state.type, "READY") if state.name != "NotReady" else "FAILED"]
    result = base.TaskResult(
        task=task_at(path, alias),
        id=run_id,
        status=status,
        enqueued_at=view.created,
        started_at=view.started,
        finished_at=view.ended,
        last_attempted_at=view.started,
        args=arguments.args,
        kwargs=arguments.kwargs,
        backend=alias,
        errors=_errors(state, status),
        worker_ids=[view.worker or "unknown"] * view.run_count,
    )
    if status == base.TaskResultStatus.SUCCESSFUL:
        object.__setattr__(result, "_return_value", state.outcome())  # frozen; Django's own backends do so
    return result


def _read_run(fleet: Fleet, run_id: str) -> tuple[RunView, State[Any], Parts]:
    try:
        run_id = str(UUID(run_id))
    except ValueError:
        raise exceptions.TaskResultDoesNotExist(run_id) from None
    (row,) = fleet.broker.records.rows([run_id], fleet.limits.max_bytes)
    if row.status == Status.UNKNOWN:
        raise exceptions.TaskResultDoesNotExist(run_id)
    return view_of(row), fleet.latest_state(run_id), call_context(row.task, run_id, row.meta)


def _errors(state: State[Any], status: Any) -> list[Any]:
    if status != base.TaskResultStatus.FAILED:
        return []
    error = state.error()
    return [task_error(error)] if error is not None else []


def _arguments(fleet: Fleet, run_id: str, context: Parts) -> Arguments:
    ((body, _),) = fleet.broker.records.bodies([run_id])
    if not body:
        return Arguments([], {})
    try:
        (_, _, args, kwargs), _ = serializers.read_call(serializers.open_call(body, context=lambda: context), {})
    except (SerializationError, ValueError):
        return Arguments([], {})
    return Arguments(args, kwargs)
