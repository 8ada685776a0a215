"""Orchestrator: tasks, flows and futures on a fleet of workers.

>>> from orchestrator import flow, task
>>> @task
... def square(x: int) -> int:
...     return x * x
>>> square(7)
49

Importing this opens no connection, starts no thread and reads no environment; what needs more is loaded when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.binding import allow_failure as allow_failure
    from orchestrator.binding import unmapped as unmapped
    from orchestrator.context import tags as tags
    from orchestrator.flows import Flow as Flow
    from orchestrator.flows import flow as flow
    from orchestrator.futures import PrefectFuture as PrefectFuture
    from orchestrator.futures import as_completed as as_completed
    from orchestrator.futures import wait as wait
    from orchestrator.run_logs import get_run_logger as get_run_logger
    from orchestrator.states import State as State
    from orchestrator.tasks import Task as Task
    from orchestrator.tasks import task as task

__version__ = "0.1.0"

_HOMES = {
    "Flow": "flows",
    "PrefectFuture": "futures",
    "State": "states",
    "Task": "tasks",
    "allow_failure": "binding",
    "as_completed": "futures",
    "flow": "flows",
    "get_run_logger": "run_logs",
    "tags": "context",
    "task": "tasks",
    "unmapped": "binding",
    "wait": "futures",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"orchestrator.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
