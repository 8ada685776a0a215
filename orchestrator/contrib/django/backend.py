"""A backend for Django's Tasks framework: our workers run its tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from orchestrator import tags
from orchestrator.contrib.django.carrying import task_for
from orchestrator.contrib.django.framework import BaseTaskBackend, base, normalize_json, signals
from orchestrator.contrib.django.results import TAG, result_of


class OrchestratorBackend(BaseTaskBackend):  # type: ignore[misc]
    """``TASKS = {"default": {"BACKEND": "orchestrator.contrib.django.backend.OrchestratorBackend"}}``.

    ``run_after``, priorities (above 0: high, below: low), coroutines and results are supported. Django's tasks have no
    retries; use ``@task`` of orchestrator for those that need them.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Send a call. Raises InvalidTask; BrokerUnavailable within 2 seconds, when the store is unreachable."""
        self.validate_task(task)
        plain_args, plain_kwargs = normalize_json(list(args)), normalize_json(dict(kwargs))
        with tags(f"{TAG}{task.module_path}"):
            future = task_for(task).apply_async(
                (task.module_path, self.alias, plain_args, plain_kwargs),
                eta=_aware(task.run_after),
                priority="high" if task.priority > 0 else "low" if task.priority < 0 else "default",
                queue=None if task.queue_name == base.DEFAULT_TASK_QUEUE_NAME else task.queue_name,
            )
        result = base.TaskResult(
            task=task,
            id=future.run_id,
            status=base.TaskResultStatus.READY,
            enqueued_at=timezone.now(),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=plain_args,
            kwargs=plain_kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """A result by its id, from any process. Raises TaskResultDoesNotExist when it is unknown, or has expired."""
        return result_of(result_id, self.alias)


def _aware(moment: datetime | None) -> datetime | None:
    return timezone.make_aware(moment) if moment is not None and timezone.is_naive(moment) else moment
