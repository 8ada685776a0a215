"""An attempt at a call: what is asked for, and the services that it may use meanwhile."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.execution.step import Step, goes_through_from_beside
from orchestrator.observability.run_logs import Keep
from orchestrator.runs.deployed import DeployedRun
from orchestrator.runs.run_ids import RunNameError, default_run_name, run_name_from
from orchestrator.states import State, StateType

if TYPE_CHECKING:
    from orchestrator.execution.transaction import Transaction
    from orchestrator.execution.undo_log import UndoLog
    from orchestrator.observability.progress_notes import Progress
    from orchestrator.runnables.protocols import TaskLike

log = logging.getLogger("orchestrator.engine")


class Cache(Protocol):
    """Where results are found again by key."""

    def get(self, key: str) -> tuple[bool, Any]:
        """Whether there is one, and which."""

    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None:
        """Keep a result."""

    def claim(self, key: str, run_id: str) -> str:
        """The run that computes this key: ``run_id`` if nobody else does."""

    def release(self, key: str, run_id: str) -> None:
        """Let others compute it, if ``run_id`` is the run that does."""


class KeepsResult(Protocol):
    """How a result is kept outside of its record, see :class:`orchestrator.execution.storing.Storing`."""

    stored: Any

    def of(self, task: Any) -> KeepsResult: ...
    def begin_steps(self, run: Any) -> Generator[Step, Any, State[Any] | None]: ...
    def keep_steps(self, run: Any, state: State[Any]) -> Generator[Step, Any, State[Any]]: ...


KeepProgress = Callable[[str, str, "Progress"], None]  # run, ticket of the attempt, how far it has come


class Doors(NamedTuple):
    """What runs an attempt and gives its verdict: in this thread, and on the running event loop."""

    run: Callable[[Attempt], Any]
    run_async: Callable[[Attempt], Any]


class RunServices(NamedTuple):
    """What an attempt may use of the process that runs it; what is ``None`` there is not."""

    cache: Cache | None = None
    keep_log: Keep | None = None
    keep_progress: KeepProgress | None = None


NO_SERVICES = RunServices()


class TaskRun(NamedTuple):
    """What hooks and conditions are given about a run. Follows Prefect's ``task_run``; moments are in UTC."""

    id: str
    name: str
    task_key: str
    run_count: int
    tags: tuple[str, ...]
    flow_run_id: str | None
    parent_task_run_id: str | None
    state: State[Any]
    parameters: dict[str, Any]
    start_time: datetime | None = None  # of this attempt

    @property
    def describes_a_run(self) -> bool:
        """Always: as an argument of a task it stays as it is, see ``runs/nested_values.py``."""
        return True

    @property
    def state_type(self) -> StateType:
        """Type of its state."""
        return self.state.type

    @property
    def state_name(self) -> str:
        """Name of its state."""
        return self.state.name

    @property
    def end_time(self) -> datetime | None:
        """When it ended; ``None``: it has not."""
        return self.state.timestamp if self.state.is_final() else None

    @property
    def total_run_time(self) -> timedelta:
        """From the start of this attempt to its end, or to now."""
        now = datetime.now(UTC)
        return (self.end_time or now) - (self.start_time or now)


class Attempt:
    """One attempt at one call: what is asked for, and what the running task can ask about itself."""

    __slots__ = (
        "__weakref__",
        "_name",
        "args",
        "called_in",
        "counted_at",
        "crashes",
        "deliveries",
        "deployed",
        "flow_parameters_hash",
        "flow_run_id",
        "kwargs",
        "log_prints",
        "options",
        "parent_task_run_id",
        "progress",
        "retries",
        "run_id",
        "services",
        "started_at",
        "storing",
        "tags",
        "task",
        "ticket",
        "trace",
        "transaction",
        "undo_log",
    )

    def __init__(
        self,
        task: TaskLike,
        run_id: str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        retries: int = 0,
        crashes: int = 0,
        flow_run_id: str | None = None,
        parent_task_run_id: str | None = None,
        tags: Sequence[str] = (),
        flow_parameters_hash: str | None = None,
        services: RunServices = NO_SERVICES,
        ticket: str = "",
        deliveries: int = 1,
        trace: list[Any] | None = None,
        log_prints: bool | None = None,
        storing: KeepsResult | None = None,
    ) -> None:
        self.task = task
        self.options = task.options
        # None: as around the call. The task's own option comes first, then that of its sender's surroundings.
        self.log_prints = task.options.log_prints if task.options.log_prints is not None else log_prints
        self.run_id = run_id
        self.args = args
        self.kwargs = kwargs
        self.retries = retries
        self.crashes = crashes
        self.flow_run_id = flow_run_id
        self.parent_task_run_id = parent_task_run_id
        self.tags = tags
        self.flow_parameters_hash = flow_parameters_hash
        self.services = services
        self.progress: Progress | None = None
        self.ticket = ticket
        self.deliveries = deliveries  # how many workers have had it, this one included
        self.counted_at = 0  # where it is counted, see orchestrator.observability.metrics.recording
        self.trace = trace  # of its sender, see orchestrator.observability.tracing.sending
        self.started_at = 0.0
        self.storing = storing  # how its result is kept outside of its record; None: it is not
        self.deployed: DeployedRun | None = None  # of a run of a deployment
        self.called_in: Attempt | None = None  # the attempt whose code has called it, in this process
        self.transaction: Transaction | None = None  # made when somebody asks for it, see transaction_of
        self.undo_log: UndoLog | None = None  # made when a transaction begins in it, see undo_log_of
        self._name: str | None = None

    @property
    def keep_log(self) -> Keep | None:
        """Where its log lines are kept."""
        return self.services.keep_log

    @property
    def what(self) -> str:
        """What runs, for messages."""
        return f"task {self.task.name}"

    @property
    def run_count(self) -> int:
        """How often the run has been started, this time included."""
        return self.retries + self.crashes + 1

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments by parameter name; those of a method with its ``self`` or ``cls``."""
        task = self.task
        hidden = task.hidden_arguments
        if not hidden:
            return task.signature.parameters(self.args, self.kwargs)
        bound = zip(inspect.signature(task.fn).parameters, self.args[:hidden], strict=False)
        return {**dict(bound), **task.signature.parameters(self.args[hidden:], self.kwargs)}

    @property
    def name(self) -> str:
        """The run's name for people."""
        if self._name is None:
            self.give_name()
        return self._name or ""

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def given_name(self) -> str | None:
        """The name that ``task_run_name`` gave; ``None``: there is none, or it has not been made yet."""
        return self._name if self.options.task_run_name is not None else None

    def give_name(self) -> RunNameError | None:
        """Make the name now, in the run, where the user's template may ask about it; returns why it is none.

        It is made once. A template that fails costs the name only; one that returns no text is an error of the task.
        """
        if self._name is not None:
            return None
        try:
            self._name = self._make_name()
        except BaseException as error:
            self._name = default_run_name(self.task.name, self.run_id)
            if goes_through_from_beside(error, self):
                raise
            if isinstance(error, RunNameError):
                return error
            log.warning("task_run_name of task %s failed: %r (run %s)", self.task.name, error, self.run_id)
        return None

    def _make_name(self) -> str:
        template = self.options.task_run_name
        if isinstance(template, str):
            return template.format(**self.task.signature.masked(self.parameters))
        if template is not None:
            return run_name_from(template, self.parameters, "task_run_name")
        return default_run_name(self.task.name, self.run_id)

    def task_run(self, state: State[Any]) -> TaskRun:
        """What hooks are given."""
        return TaskRun(
            self.run_id,
            self.name,
            self.task.task_key,
            self.run_count,
            tuple(self.tags),
            self.flow_run_id,
            self.parent_task_run_id,
            state,
            self.parameters,
            datetime.fromtimestamp(self.started_at, UTC) if self.started_at else None,
        )
