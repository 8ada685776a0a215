"""The two tasks that run Django's tasks: one for functions, one for coroutines.

Their names contain this module's: calls under way would no longer find a task that moved."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from orchestrator import task
from orchestrator.contrib.django.framework import base, normalize_json, signals
from orchestrator.contrib.django.results import task_at, task_error
from orchestrator.runs.current import current_attempt


@task(task_run_name="{path}")
def run(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    with _run_with_signals(path, alias, args, kwargs) as (django_task, result):
        value = django_task.call(*_context(django_task, result), *args, **kwargs)
        return normalize_json(value)


@task(task_run_name="{path}")
async def run_async(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    with _run_with_signals(path, alias, args, kwargs) as (django_task, result):
        value = await django_task.acall(*_context(django_task, result), *args, **kwargs)
        return normalize_json(value)


def task_for(django_task: Any) -> Any:
    """The task of ours that runs this task of Django's."""
    return run_async if inspect.iscoroutinefunction(django_task.func) else run


def _context(django_task: Any, result: Any) -> list[Any]:
    return [base.TaskContext(task_result=result)] if django_task.takes_context else []


@contextmanager
def _run_with_signals(path: str, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Send Django's signals around the block; yields the task, and its result so far."""
    django_task = task_at(path, alias)
    result = _running(django_task, alias, args, kwargs)
    sender = type(django_task.get_backend())
    signals.task_started.send(sender, task_result=result)
    try:
        yield django_task, result
    except BaseException as error:
        _end(result, base.TaskResultStatus.FAILED)
        result.errors.append(task_error(error))
        signals.task_finished.send(sender, task_result=result)
        raise
    _end(result, base.TaskResultStatus.SUCCESSFUL)
    signals.task_finished.send(sender, task_result=result)


def _running(django_task: Any, alias: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    attempt = current_attempt.get()
    assert attempt is not None
    now = timezone.now()
    return base.TaskResult(
        task=django_task,
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
    from orchestrator.client.fleet import current_fleet

    return current_fleet().worker or "local"


def _end(result: Any, status: Any) -> None:
    object.__setattr__(result, "status", status)  # the dataclass is frozen; Django's own backends do it so
    object.__setattr__(result, "finished_at", timezone.now())
