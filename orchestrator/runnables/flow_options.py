"""The options of a flow: one frozen value, checked when the flow is decorated.

A new option is one field here and one keyword of ``@flow``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from brokers.spans import LONGEST_SECONDS
from orchestrator.runnables.options import Hook, RunnableOptions, check_run_name
from orchestrator.runnables.result_options import check_result_options
from orchestrator.runnables.retries import RetryPolicy


@dataclass(frozen=True, slots=True)
class FlowOptions(RunnableOptions):
    """The options of one flow, beside those it shares with tasks."""

    flow_run_name: str | Callable[..., str] | None = None
    task_runner: Any = None  # a TaskRunner, or its class
    validate_parameters: bool = True
    on_cancellation: tuple[Hook, ...] = ()
    on_crashed: tuple[Hook, ...] = ()

    HOOKS: ClassVar[tuple[str, ...]] = (*RunnableOptions.HOOKS, "on_cancellation", "on_crashed")

    def __post_init__(self) -> None:
        check_result_options(self)
        check_run_name("flow_run_name", self.flow_run_name)
        timeout = self.timeout_seconds
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise ValueError(f"timeout_seconds={timeout!r} must be seconds, or None")
        if timeout is not None and not 0 <= timeout < float("inf"):
            raise ValueError(f"timeout_seconds={timeout!r} must be above zero; 0 and None are no timeout")
        if timeout is not None and timeout > LONGEST_SECONDS:
            raise ValueError(f"timeout_seconds={timeout!r} must be 100 years at most ({LONGEST_SECONDS:.0f} seconds)")
        if timeout == 0:
            object.__setattr__(self, "timeout_seconds", None)
        runner = self.task_runner
        if runner is not None and not callable(getattr(runner, "submit", None)):
            raise TypeError(f"task_runner={runner!r} must be a task runner, such as ThreadPoolTaskRunner()")
        for name in self.HOOKS:
            if not all(callable(hook) for hook in getattr(self, name)):
                raise TypeError(f"{name} must be a list of callables hook(flow, flow_run, state)")
        if self.retries is not None or self.retry_delay_seconds is not None:
            policy = RetryPolicy.from_options(self.retries or 0, self.retry_delay_seconds)
            object.__setattr__(self, "retry_policy", policy)
