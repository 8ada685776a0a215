"""Our records as results of Django's Tasks framework."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.utils.module_loading import import_string

from brokers.contract import Status
from brokers.redis.journal import Journal
from orchestrator import serializers
from orchestrator.contrib.django.framework import base, exceptions
from orchestrator.envelopes import call_context
from orchestrator.errors import SerializationError
from orchestrator.fleet import Fleet, current_fleet
from orchestrator.inspection.views import RunView, view_of
from orchestrator.states import State, StateType

TAG: Final = "django:"  # and the path of the task: known also when the arguments are not kept any more
_STATUSES: Final = {
    StateType.RUNNING: "RUNNING",
    StateType.CANCELLING: "RUNNING",
    StateType.COMPLETED: "SUCCESSFUL",
    StateType.FAILED: "FAILED",
    StateType.CANCELLED: "FAILED",
    StateType.CRASHED: "FAILED",
}


class Arguments(NamedTuple):
    """What the carrier was called with, as far as it is kept."""

    args: list[Any]
    kwargs: dict[str, Any]


def task_at(path: str, alias: str) -> Any:
    """The task that a path names, for a backend."""
    found = import_string(path)
    if not isinstance(found, base.Task):  # the name is the function's own: it was wrapped under another
        return base.Task(func=found, backend=alias)
    return found if found.backend == alias else replace(found, backend=alias)


def task_error(error: BaseException) -> Any:
    """An exception as Django's results tell it."""
    kind = type(error)
    told = "".join(traceback.format_exception(error))
    return base.TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=told)


def result_of(run_id: str, alias: str) -> Any:
    """The result of a run.

    Raises:
        TaskResultDoesNotExist: there is none of that id, or it is not one of Django's tasks.
        BrokerError: the server does not answer.
    """
    fleet = current_fleet()
    view, state, body_context = _looked_up(fleet, run_id)
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
        object.__setattr__(result, "_return_value", state.data)  # it is frozen; Django's own backends do it so
    return result


def _looked_up(fleet: Fleet, run_id: str) -> tuple[RunView, State[Any], tuple[Any, ...]]:
    try:
        run_id = str(UUID(run_id))
    except ValueError:
        raise exceptions.TaskResultDoesNotExist(run_id) from None
    (row,) = Journal(fleet.broker).rows([run_id], fleet.limits.max_bytes)
    if row.status == Status.UNKNOWN:
        raise exceptions.TaskResultDoesNotExist(run_id)
    return view_of(row), fleet.latest_state(run_id), call_context(row.task, run_id, row.meta)


def _errors(state: State[Any], status: Any) -> list[Any]:
    if status != base.TaskResultStatus.FAILED:
        return []
    error = state.error()
    return [task_error(error)] if error is not None else []


def _arguments(fleet: Fleet, run_id: str, context: tuple[Any, ...]) -> Arguments:
    (body,) = fleet.broker.wires.commands([("HGET", fleet.broker.keys.record(run_id), "b")])
    if not body:
        return Arguments([], {})
    try:
        (_, _, args, kwargs), _ = serializers.read_call(serializers.open_call(body, context=lambda: context), {})
    except (SerializationError, ValueError):
        return Arguments([], {})
    return Arguments(args, kwargs)
