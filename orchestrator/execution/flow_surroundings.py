"""What is true around the code of a flow: which run it belongs to, where its prints go, what runs its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from orchestrator.observability.run_logs import by_setting, logging_prints
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags

if TYPE_CHECKING:
    from orchestrator.execution.flow_run import FlowRun


@contextmanager
def inside(run: FlowRun) -> Iterator[None]:
    """What is true while a flow's function works: it can be asked for, its prints and logs are kept."""
    token = current_flow_run.set(run)
    attempt_token = current_attempt.set(None)  # a flow inside a task: its tasks belong to the flow
    tags_token = current_tags.set(run.tags)
    try:
        log_prints = run.log_prints if run.log_prints is not None else by_setting()
        with logging_prints(log_prints) if log_prints is not None else nullcontext():
            yield
    finally:
        current_tags.reset(tags_token)
        current_attempt.reset(attempt_token)
        current_flow_run.reset(token)


class around:
    """What is true while a flow runs: what is true inside, and that its tasks have a runner."""

    def __init__(self, run: FlowRun, stop: bool = True) -> None:
        self._run, self._stop = run, stop
        self._stack = ExitStack()

    def __enter__(self) -> Any:
        self._stack.enter_context(inside(self._run))
        self._run.task_runner.start()
        return self._run.task_runner

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, *where: Any) -> None:
        try:
            if self._stop:
                self._run.task_runner.stop(at_once=kind is not None and not issubclass(kind, Exception))
        finally:
            self._stack.close()
