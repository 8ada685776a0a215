"""Tasks of ours that run tasks of Django's: one for functions, one for coroutines."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from orchestrator import task
from orchestrator.context import current_attempt
from orchestrator.contrib.django.framework import base, normalize_json, signals
from orchestrator.contrib.django.results import task_at, task_error


@task(task_run_name="{path}")
def run(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    with _told(path, alias, args, kwargs) as (its_task, result):
        value = its_task.call(*_context(its_task, result), *args, **kwargs)
        return normalize_json(value)


@task(task_run_name="{path}")
async def run_async(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    with _told(path, alias, args, kwargs) as (its_task, result):
        value = await its_task.acall(*_context(its_task, result), *args, **kwargs)
        return normalize_json(value)


def carrier_of(its_task: Any) -> Any:
    """The one of the two that runs a task of Django's."""
    return run_async if inspect.iscoroutinefunction(its_task.func) else run


def _context(its_task: Any, result: Any) -> list[Any]:
    return [base.TaskContext(task_result=result)] if its_task.takes_context else []


@contextmanager
def _told(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """The task, and its result so far; Django's signals are sent around the block."""
    its_task = task_at(path, alias)
    result = _running(its_task, alias, args, kwargs)
    sender = type(its_task.get_backend())
    signals.task_started.send(sender, task_result=result)
    try:
        yield its_task, result
    except BaseException as error:
        _end(result, base.TaskResultStatus.FAILED)
        result.errors.append(task_error(error))
        signals.task_finished.send(sender, task_result=result)
        raise
    _end(result, base.TaskResultStatus.SUCCESSFUL)
    signals.task_finished.send(sender, task_result=result)


def _running(its_task: Any, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    attempt = current_attempt.get()
    assert attempt is not None
    now = timezone.now()
    return base.TaskResult(
        task=its_task,
        id=attempt.run_id,
        status=base.TaskResultStatus.RUNNING,
        enqueued_at=None,
        started_at=now,
        finished_at=None,
        last_attempted_at=now,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[_worker()] * attempt.run_count,
    )


def _worker() -> str:
    from orchestrator.fleet import current_fleet

    return current_fleet().worker or "here"


def _end(result: Any, status: Any) -> None:
    object.__setattr__(result, "status", status)  # it is frozen; Django's own backends do it so
    object.__setattr__(result, "finished_at", timezone.now())
