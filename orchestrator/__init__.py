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

from orchestrator.neighbours import bind

if TYPE_CHECKING:
    from orchestrator.api_client.client import get_client as get_client
    from orchestrator.context import tags as tags
    from orchestrator.deployments.deploying import deploy as deploy
    from orchestrator.flow_runs import apause_flow_run as apause_flow_run
    from orchestrator.flow_runs import aresume_flow_run as aresume_flow_run
    from orchestrator.flow_runs import asuspend_flow_run as asuspend_flow_run
    from orchestrator.flow_runs import pause_flow_run as pause_flow_run
    from orchestrator.flow_runs import resume_flow_run as resume_flow_run
    from orchestrator.flow_runs import suspend_flow_run as suspend_flow_run
    from orchestrator.flows import Flow as Flow
    from orchestrator.flows import flow as flow
    from orchestrator.futures import PrefectFuture as PrefectFuture
    from orchestrator.futures import as_completed as as_completed
    from orchestrator.futures import wait as wait
    from orchestrator.observability.run_logs import get_run_logger as get_run_logger
    from orchestrator.runnables.annotations import allow_failure as allow_failure
    from orchestrator.runnables.annotations import unmapped as unmapped
    from orchestrator.runner import aserve as aserve
    from orchestrator.runner import serve as serve
    from orchestrator.states import State as State
    from orchestrator.tasks import Task as Task
    from orchestrator.tasks import task as task
    from orchestrator.transactions import Transaction as Transaction

bind()  # before anything of brokers is imported

from brokers.version import __version__ as __version__  # noqa: E402

_HOMES = {
    "Flow": "flows",
    "PrefectFuture": "futures",
    "State": "states",
    "Task": "tasks",
    "Transaction": "transactions",
    "aserve": "runner",
    "allow_failure": "runnables.annotations",
    "deploy": "deployments.deploying",
    "as_completed": "futures",
    "apause_flow_run": "flow_runs",
    "aresume_flow_run": "flow_runs",
    "asuspend_flow_run": "flow_runs",
    "flow": "flows",
    "get_client": "api_client.client",
    "get_run_logger": "observability.run_logs",
    "pause_flow_run": "flow_runs",
    "resume_flow_run": "flow_runs",
    "serve": "runner",
    "suspend_flow_run": "flow_runs",
    "tags": "context",
    "task": "tasks",
    "unmapped": "runnables.annotations",
    "wait": "futures",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """A name of the API, or a module, as Prefect does it: ``orchestrator.runtime.flow_run.id``."""
    from importlib import import_module

    home = _HOMES.get(name)
    if home is not None:
        value = globals()[name] = getattr(import_module(f"orchestrator.{home}"), name)
        return value
    if not name.startswith("_"):
        try:
            return import_module(f"orchestrator.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"orchestrator.{name}":  # it is there, and needs something that is not
                raise
    raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
