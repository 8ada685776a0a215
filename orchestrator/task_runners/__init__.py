"""Who runs the calls that a flow submits: the fleet (the default), threads or processes of this machine.

Each is loaded when it is used: most programs need the fleet's only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.task_runners.base import TaskRunner as TaskRunner
    from orchestrator.task_runners.fleet_runner import FleetTaskRunner as FleetTaskRunner
    from orchestrator.task_runners.process_runner import ProcessPoolTaskRunner as ProcessPoolTaskRunner
    from orchestrator.task_runners.thread_runner import ThreadPoolTaskRunner as ThreadPoolTaskRunner

    ConcurrentTaskRunner = ThreadPoolTaskRunner  # the name of Prefect 2

_HOMES = {
    "ConcurrentTaskRunner": ("thread_runner", "ThreadPoolTaskRunner"),
    "FleetTaskRunner": ("fleet_runner", "FleetTaskRunner"),
    "ProcessPoolTaskRunner": ("process_runner", "ProcessPoolTaskRunner"),
    "TaskRunner": ("base", "TaskRunner"),
    "ThreadPoolTaskRunner": ("thread_runner", "ThreadPoolTaskRunner"),
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, its_name = _HOMES[name]
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), its_name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
