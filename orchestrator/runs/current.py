"""The flow run and the attempt around the current line, per thread and per asyncio task."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

KeepLog = Callable[[str, str, str, float], None]
"""Keeps a log line: run id, level, message, seconds since the epoch."""


class CurrentFlowRun(Protocol):
    """A flow run, as the code inside it needs it; see :class:`orchestrator.execution.flow_run.FlowRun`."""

    run_id: str
    ticket: str  # empty where no worker runs it
    is_known: bool
    flow: Any
    task_runner: Any
    kept_calls: Any  # see :class:`orchestrator.pausing.kept_calls.KeptCalls`; ``None``: it cannot be suspended

    @property
    def name(self) -> str:
        """For people."""

    @property
    def keep_log(self) -> KeepLog | None:
        """Where its log lines are kept."""

    def make_known(self) -> None:
        """Record it in the store now."""

    def parameters_hash(self) -> str | None:
        """For cache keys of its tasks."""


class CurrentAttempt(Protocol):
    """An attempt at a call, as the code inside it needs it; see :class:`orchestrator.execution.attempt.Attempt`."""

    run_id: str
    ticket: str
    flow_run_id: str | None
    parent_task_run_id: str | None
    started_at: float
    log_prints: bool | None
    deliveries: int
    task: Any
    options: Any
    services: Any
    progress: Any

    @property
    def name(self) -> str:
        """For people."""

    @property
    def keep_log(self) -> KeepLog | None:
        """Where its log lines are kept."""

    @property
    def run_count(self) -> int:
        """How often the run has been started, this time included."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments by parameter name."""

    def task_run(self, state: Any) -> Any:
        """What hooks are given."""


current_flow_run: ContextVar[CurrentFlowRun | None] = ContextVar("orchestrator_flow_run", default=None)
current_attempt: ContextVar[CurrentAttempt | None] = ContextVar("orchestrator_attempt", default=None)
current_transaction: ContextVar[Any] = ContextVar("orchestrator_transaction", default=None)  # of the innermost block
current_tags: ContextVar[frozenset[str]] = ContextVar("orchestrator_tags", default=frozenset())
