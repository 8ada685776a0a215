"""Frozen view models, for pages and JSON alike. Times are in UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from orchestrator.errors import OrchestratorError
from orchestrator.inspection import RunDetail, RunView

MAX_COUNTED: Final = 10_000


class ReadOnly(OrchestratorError):
    """An action was requested of a read-only server."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to find; an empty field matches all.

    >>> RunQuery(states=("failed", "crashed"), tasks=("shop.*",)).is_all
    False
    """

    states: tuple[str, ...] = ()  # types or names, any case: "failed", "TimedOut"
    tasks: tuple[str, ...] = ()  # names, also with * and ?
    queues: tuple[str, ...] = ()  # the same
    tags: tuple[str, ...] = ()  # all of them
    workers: tuple[str, ...] = ()  # as queues
    flow_run_id: str | None = None
    parent_task_run_id: str | None = None
    since: datetime | None = None  # submitted not before
    until: datetime | None = None  # submitted before
    text: str = ""  # in a name, or the message, any case; or a run's id, or how one begins
    ids: tuple[str, ...] = ()
    argument: str = ""  # in the arguments as they are shown, any case
    sort: str = ""  # "duration": the longest first, else the newest
    fits: Callable[[RunView], bool] | None = None  # decides about what the others leave

    @property
    def is_all(self) -> bool:
        """Whether every run matches."""
        return replace(self, sort="") == RunQuery()

    def matches(self, run: RunView) -> bool:
        """Whether the record of a run agrees with what can change during a run: its state and its worker."""
        return _state_is(self.states, run.state_type, run.state_name) and any_of(self.workers, run.worker or "")

    def agrees(self, run: RunView) -> bool:
        """Whether a run's record matches in every respect."""
        made, text = run.created, self.text.strip().lower()
        return (
            self.matches(run)
            and any(any_of(self.tasks, name) for name in (run.task, run.task_name))
            and any_of(self.queues, run.queue)
            and set(self.tags) <= set(run.tags)
            and self.flow_run_id in (None, run.flow_run_id)
            and self.parent_task_run_id in (None, run.parent_task_run_id)
            and (self.since is None or (made is not None and made >= self.since))
            and (self.until is None or (made is not None and made < self.until))
            and (text in f"{run.task} {run.name} {run.message or ''}".lower() or run.id.startswith(text))
        )


def _state_is(wanted: tuple[str, ...], type_: str, name: str) -> bool:
    return not wanted or bool({type_.lower(), name.lower()} & {state.lower() for state in wanted})


def any_of(patterns: Sequence[str], name: str) -> bool:
    """Whether a name is one of those, or none is wanted.

    >>> any_of(["shop.*"], "shop.pay"), any_of([], "anything"), any_of(["a"], "b")
    (True, True, False)
    """
    return not patterns or any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Count:
    """A number of runs, counted up to a bound.

    >>> str(Count(1234)), str(Count(10_000, more=True))
    ('1,234', '10,000+')
    """

    number: int
    more: bool = False  # there are more than that

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first. ``cursor`` leads to the next page (``before=``), ``None`` at the end.

    A page may hold fewer runs than its limit though ``cursor`` is there: the search ran out of time. ``as_of`` bounds
    bulk actions to what the page's counts were made of.
    """

    runs: list[RunView]
    cursor: str | None
    total: Count
    as_of: str


@dataclass(frozen=True, slots=True)
class Event:
    """A run entered a state."""

    moment: datetime
    state_type: str
    state_name: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log line."""

    timestamp: datetime
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run with its logs, history and related runs."""

    detail: RunDetail
    history: list[Event]  # oldest first; complete if the journal still has its beginning
    logs: list[LogEntry]  # its last ones
    progress: dict[str, object] | None  # what the task reported, if it did
    upstreams: list[RunView]  # runs whose results it takes
    children: list[RunView]  # runs that its code submitted, the newest first
    children_total: Count
    flow_run_name: str | None
    actions: tuple[str, ...]  # of "run-now", "cancel", "retry", "delete": what makes sense now


NOT_READY: Final = "NOT READY"  # how pages count runs that will never start; their type is PENDING


def by_type(states: Mapping[str, int]) -> dict[str, int]:
    """Counts with those that are not ready under their type.

    >>> by_type({"PENDING": 1, "NOT READY": 2})
    {'PENDING': 3}
    """
    found = {kind: number for kind, number in states.items() if kind != NOT_READY}
    if number := states.get(NOT_READY):
        found["PENDING"] = found.get("PENDING", 0) + number
    return found


@dataclass(frozen=True, slots=True)
class FlowRunView:
    """A flow run in a list."""

    id: str
    flow: str
    name: str
    state_type: str
    state_name: str
    message: str
    created: datetime | None  # when it was first seen
    ended: datetime | None
    run_count: int
    parent_flow_run_id: str | None
    task_runs: dict[str, int]  # state type -> how many; NotReady ones are "NOT READY" here
    started: datetime | None = None
    expected: datetime | None = None  # when a run of a deployment was to begin
    deployment: str | None = None  # flow/deployment
    deployment_id: str | None = None
    version: int | None = None  # of the deployment
    schedule_id: str | None = None  # that made it
    tags: tuple[str, ...] = ()
    work_pool: str | None = None


@dataclass(frozen=True, slots=True)
class FlowRunPage:
    """Flow runs, newest first; ``cursor`` as in :class:`RunPage`."""

    runs: list[FlowRunView]
    cursor: str | None
    total: Count


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """The runs of one task in a flow run; a map of thousands is one of these."""

    task: str
    states: dict[str, int]  # state type -> how many; NotReady ones are "NOT READY" here
    created: datetime | None  # of the first
    started: datetime | None  # of the first
    ended: datetime | None  # of the last, if all have
    run_ids: list[str]  # the first ones, at most RUNS_OF_A_GROUP
    after: tuple[str, ...]  # tasks (of the same flow run) whose results it takes, as far as was looked

    @property
    def count(self) -> int:
        """How many runs."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class FlowRunFacts:
    """A flow run with its task runs."""

    run: FlowRunView
    groups: list[TaskGroup]  # by the moment their first run was submitted
    runs: list[RunView]  # the first ones, oldest first, for a timeline
    upstreams: dict[str, list[str]]  # of these runs: run -> runs whose results it takes
    subflows: list[FlowRunView]
    logs: list[LogEntry]
    parameters: list[tuple[str, str]] | None = None  # name and text; None: not kept, or not to be read here
    result: str | None = None  # as text, of a Completed run
    error: str | None = None  # traceback as text


@dataclass(frozen=True, slots=True)
class Bucket:
    """Counts of ten seconds, or of the requested step."""

    moment: datetime  # its beginning
    submitted: int = 0
    completed: int = 0
    failed: int = 0
    crashed: int = 0
    cancelled: int = 0
    wait_seconds: float | None = None  # mean time from submission to start of the runs that ended
    longest_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as the index knows it."""

    task: str
    states: dict[str, int]  # state type -> how many runs are kept
    name: str = ""  # for people
    p50_seconds: float | None = None  # half of its attempts took no longer
    p95_seconds: float | None = None

    @property
    def count(self) -> int:
        """How many runs are kept."""
        return sum(self.states.values())

    @property
    def failure_rate(self) -> float | None:
        """The share of the runs that ended well or badly which failed or crashed; ``None``: none has ended so."""
        bad = self.states.get("FAILED", 0) + self.states.get("CRASHED", 0)
        ended = bad + self.states.get("COMPLETED", 0)
        return bad / ended if ended else None


@dataclass(frozen=True, slots=True)
class IndexState:
    """How up to date the run index is."""

    runs: int
    behind_seconds: float  # age of the oldest change that it has not read
    complete: bool  # whether the past has been read to its beginning
    read_back_to: datetime | None
    error: str | None  # why it cannot follow the journal, if so
    bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """The server underneath."""

    reachable: bool
    warnings: list[str]
    used_memory_bytes: int
    max_memory_bytes: int  # 0: no limit
    peak_memory_bytes: int
    memory_policy: str
    append_only: bool
    engine: str  # what carries the calls
    namespace: str
    version: str
    index: IndexState


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one task with the same error."""

    task: str
    error: str  # first line
    count: int
    newest: datetime | None
    run_ids: list[str] = field(default_factory=list)  # all that were looked at


@dataclass(frozen=True, slots=True)
class Dead:
    """The dead letters, grouped; the newest ones if there are very many."""

    total: int
    looked_at: int
    groups: list[DeadGroup]


@dataclass(frozen=True, slots=True)
class ScheduledPage:
    """Calls that wait for a moment (countdown, eta, retry), the next one first; ``cursor`` leads on."""

    runs: list[RunView]
    cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action."""

    requested: int  # runs that were considered
    done: int  # runs with which it was done; the others had ended, had not ended, or were gone
