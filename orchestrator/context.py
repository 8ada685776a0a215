"""What is around the current line: tags of a block, and Prefect's context objects (``prefect.context``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import MissingContextError
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags
from orchestrator.states import Running

if TYPE_CHECKING:
    from orchestrator.execution.attempt import TaskRun
    from orchestrator.execution.flow_run import FlowRun
    from orchestrator.flows import Flow
    from orchestrator.settings import Settings
    from orchestrator.task_runners import TaskRunner
    from orchestrator.tasks import Task


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Add tags to every flow run and task run that is created inside the block; blocks add up.

    >>> with tags("a"), tags("b") as now:
    ...     sorted(now)
    ['a', 'b']

    Raises:
        TypeError: one is no text.

    Follows Prefect 3 (``prefect.tags``).
    """
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"tags{names!r} must be texts")
    wider = current_tags.get() | frozenset(names)
    token = current_tags.set(wider)
    try:
        yield wider
    finally:
        current_tags.reset(token)


@dataclass(frozen=True, slots=True)
class FlowRunContext:
    """The flow run around the current line.

    Attributes:
        flow, flow_run, parameters, task_runner: as their names say.
        start_time: when the run began (aware).
        log_prints: whether prints are log lines; ``None``: as around it.

    >>> FlowRunContext.get() is None
    True
    """

    flow: Flow[..., Any]
    flow_run: FlowRun
    parameters: Mapping[str, Any]
    task_runner: TaskRunner
    start_time: datetime
    log_prints: bool | None

    @classmethod
    def get(cls) -> Self | None:
        """The one around this line, or ``None``."""
        run: Any = current_flow_run.get()
        if run is None:
            return None
        return cls(run.flow, run, run.parameters, run.task_runner, run.start_time, run.flow.options.log_prints)


@dataclass(frozen=True, slots=True)
class TaskRunContext:
    """The task run around the current line.

    Attributes:
        task, task_run, parameters: as their names say.
        start_time: when this attempt began (aware).
        log_prints, persist_result: the task's options.
    """

    task: Task[..., Any]
    task_run: TaskRun
    parameters: Mapping[str, Any]
    start_time: datetime
    log_prints: bool | None
    persist_result: bool | None

    @classmethod
    def get(cls) -> Self | None:
        """The one around this line, or ``None``."""
        attempt = current_attempt.get()
        if attempt is None:
            return None
        options = attempt.options
        return cls(
            attempt.task,
            attempt.task_run(Running(task_run_id=attempt.run_id, run_count=attempt.run_count)),
            attempt.parameters,
            datetime.fromtimestamp(attempt.started_at, UTC),
            options.log_prints,
            options.persist_result,
        )


@dataclass(frozen=True, slots=True)
class TagsContext:
    """The tags that ``with tags(...)`` gives to what is made here.

    >>> TagsContext.get().current_tags
    set()
    """

    current_tags: set[str]

    @classmethod
    def get(cls) -> Self:
        """Those around this line."""
        return cls(set(current_tags.get()))


@dataclass(frozen=True, slots=True)
class SettingsContext:
    """The settings of this process."""

    settings: Settings

    @classmethod
    def get(cls) -> Self:
        """Those that hold now. Raises ConfigurationError."""
        from orchestrator.settings import current

        return cls(current())


def get_run_context() -> FlowRunContext | TaskRunContext:
    """The context of the innermost run around this line: a task's, else a flow's.

    Raises:
        MissingContextError: there is none.

    Follows Prefect 3 (``prefect.context.get_run_context``).
    """
    found = TaskRunContext.get() or FlowRunContext.get()
    if found is None:
        raise MissingContextError("there is no active flow or task run: call this inside one")
    return found


def get_settings_context() -> SettingsContext:
    """The settings of this process. Raises ConfigurationError."""
    return SettingsContext.get()
