"""The short way through an attempt, for a task that asks for nothing but its function.

No steps are made for it, since there would be one: to call the function. What that does otherwise than return a plain
value (raise, return a future, wait in a transaction) takes the steps that follow for any other task.
"""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any, Final

from orchestrator.execution import forks
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.drivers import drive, end_if_copied
from orchestrator.execution.step import PLAIN, Step
from orchestrator.execution.task_steps import call_function, conclude
from orchestrator.execution.verdicts import Verdict, state_of_error
from orchestrator.runnables.options import TaskOptions
from orchestrator.runnables.protocols import TaskLike
from orchestrator.runs.current import current_attempt

NO_STEPS: Final = frozenset(
    (
        "name", "description", "tags", "version", "retries", "retry_delay_seconds", "retry_policy",
        "retry_jitter_factor", "queue", "priority", "max_deliveries", "rate_limit", "concurrency", "result_ttl",
    )
)  # fmt: skip
"""Options that need nothing done while the function runs, or only if it fails; any other one makes a task not plain."""

_ORDINARY: Final = {option.name: option.default for option in fields(TaskOptions) if option.name not in NO_STEPS}


def is_plain(task: TaskLike) -> bool:
    """Whether an attempt at a task is a call of its function, in a thread, and nothing else."""
    if task.doors is not None or task.isgenerator or task.isasync or task.hidden_arguments:
        return False
    options = task.options
    return type(options) is TaskOptions and all(getattr(options, name) == value for name, value in _ORDINARY.items())


def run_plain(attempt: Attempt) -> tuple[Any, Verdict | None]:
    """Call the function of a plain task, in a context that is thrown away afterwards.

    Returns:
        What it returned and ``None``, if that is a plain value; else anything and the verdict.
    """
    current_attempt.set(attempt)
    attempt.started_at = time.time()
    try:
        value = attempt.task.fn(*attempt.args, **attempt.kwargs)
    except BaseException as error:  # sys.exit() and the like end the task, not the worker that runs it
        if forks.split_off:
            end_if_copied(attempt, error)
        state = state_of_error(error)
    else:
        if forks.split_off:
            end_if_copied(attempt, None)
        if (value is None or type(value) in PLAIN) and attempt.transaction is None:
            return value, None
        state = drive(call_function(attempt, Step(_given, (value,))), attempt)
    return None, drive(conclude(attempt, None, None, state), attempt)


def _given(value: Any) -> Any:
    return value
