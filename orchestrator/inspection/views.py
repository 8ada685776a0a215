"""A run as one frozen table of plain values."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import Row
from brokers.schema import CallMeta, ScriptedEnd
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RemoteTraceback, SerializationError
from orchestrator.inspection.values import Redaction, arguments_text, result_text
from orchestrator.runs.run_ids import created_at, short_name
from orchestrator.serializers.outcomes import OutcomeFields, fields_of, name_of_run, open_state, read_outcome, type_of
from orchestrator.states import State
from orchestrator.submission.signed_calls import call_context

MAX_OUTCOME: Final = 65_536  # bytes; lists skip larger ones: their message, end and worker are missing
PRIORITIES: Final = {"h": "high", "d": "default", "l": "low", "r": "default"}


@dataclass(frozen=True, slots=True)
class RunView:
    """A run in a list. Times are in UTC; ``None`` where unknown."""

    id: str
    task: str
    state_type: str  # of Prefect's: SCHEDULED, PENDING, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED, CRASHED
    state_name: str  # the type's own, or more precise: Late, Retrying, TimedOut, Cached, NotReady, ...
    message: str | None
    queue: str
    priority: str
    tags: tuple[str, ...]
    created: datetime | None  # from the id; None for ids not made here
    started: datetime | None
    ended: datetime | None
    due: datetime | None  # not queued before
    run_count: int
    retries: int
    crashes: int
    take_overs: int
    worker: str | None  # the worker that ran it, or runs it
    flow_run_id: str | None
    parent_task_run_id: str | None
    task_name: str = ""  # for people: ``@task(name=...)``, else the function's
    name: str = ""  # the run's: ``task_run_name`` once rendered, else the task's name and the id
    schedule_id: str | None = None  # that made it, and for which of its ticks
    tick: datetime | None = None
    tick_note: str | None = None  # such as "3 earlier ticks missed"; the message of one that has none yet

    def as_json(self) -> dict[str, Any]:
        """Plain values; times as ISO 8601 strings."""
        facts = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run on a page of its own."""

    run: RunView
    parameters: list[tuple[str, str]] | None  # name and text; None: gone, or unreadable here
    parameters_note: str | None  # why they are not shown
    result: str | None  # as text, of a Completed run
    error: str | None  # traceback as text, of a run that ended otherwise

    def as_json(self) -> dict[str, Any]:
        """Plain values only."""
        return {
            **self.run.as_json(),
            "parameters": dict(self.parameters) if self.parameters is not None else None,
            "parameters_note": self.parameters_note,
            "result": self.result,
            "error": self.error,
        }


def views_of(fleet: Fleet, run_ids: Sequence[str]) -> list[RunView]:
    """These runs, in order, without those whose records have expired.

    Raises:
        BrokerError: the server does not respond.
    """
    rows = fleet.broker.records.rows(run_ids, MAX_OUTCOME)
    return [view_of(row) for row in rows if row.status != Status.UNKNOWN]


def detail_of(
    fleet: Fleet, run_id: str, redaction: Redaction, parameter_names: Mapping[str, Sequence[str]] | None = None
) -> RunDetail | None:
    """One run with its arguments and outcome; ``None`` if there is no record of it.

    Args:
        fleet: the fleet that keeps it.
        run_id: the run.
        redaction: the names to mask.
        parameter_names: task -> names of its parameters, where known.
    """
    records = fleet.broker.records
    (row,) = records.rows([run_id], fleet.limits.max_bytes)
    if row.status == Status.UNKNOWN:
        return None
    ((body, _),) = fleet.broker.records.bodies([run_id])
    parameters, note = None, "not kept: the run completed, and they were large"
    if body:
        try:
            names = (parameter_names or {}).get(row.task, ())
            parameters = arguments_text(body, call_context(row.task, run_id, row.meta), redaction, names)
            note = ""
        except SerializationError as error:
            note = str(error)
    result, error_text = _result_and_error(row, redaction)
    run = view_of(row)
    run = replace(run, worker=run.worker or records.holder(row))
    return RunDetail(run, parameters, note or None, result, error_text)


def view_of(row: Row) -> RunView:
    """A row of the store as a view."""
    meta = CallMeta.shown(row.meta)
    task_name = meta.task_name or short_name(row.task)
    state, started, ended, worker = _outcome_of(row)
    tick = meta.tick
    note = tick.note if tick else None
    return RunView(
        id=row.run_id,
        task=row.task,
        state_type=state.type.value,
        state_name=state.name,
        message=state.message or (None if row.status in FINAL_STATUSES else note),
        queue=row.queue,
        priority=PRIORITIES.get(row.priority, "default"),
        tags=tuple(meta.tags),
        created=created_at(row.run_id),
        started=started,
        ended=ended,
        due=_moment(row.due_at),
        run_count=state.run_count,
        retries=row.retries,
        crashes=row.crashes,
        take_overs=row.take_overs,
        worker=worker,
        flow_run_id=row.flow_run_id,
        parent_task_run_id=meta.parent_run_id,
        task_name=task_name,
        name=name_of_run(row.run_id, task_name, row.name),
        schedule_id=tick.schedule_id if tick else None,
        tick=_tick_moment(tick.tick_ms) if tick else None,
        tick_note=note,
    )


def _tick_moment(tick_ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(tick_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # no moment: whatever somebody wrote
        return None


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _outcome_of(row: Row) -> tuple[State[Any], datetime | None, datetime | None, str | None]:
    """The state, start and end of the last attempt, and its worker. The result is not restored."""
    if row.status not in FINAL_STATUSES:
        return _with_last_failure(row), _moment(row.started_at), None, None
    fields = _fields_of(row)
    if fields is None:  # too large for a list, written by a script, or unreadable: the state without its data
        state = read_outcome(row.run_id, row.status, row.outcome if row.outcome else b"\0")
        if state.type.value == "CRASHED" and row.status == Status.COMPLETED:
            state = State(type_of(row.status), None, "its outcome is not read in a list", task_run_id=row.run_id)
        return state, _moment(row.started_at), None, None
    name, message, started, ended, run_count, _, worker = fields
    state = State(type_of(row.status), name or None, message, task_run_id=row.run_id, run_count=run_count)
    return state, _moment(started), _moment(ended), worker or None


def _with_last_failure(row: Row) -> State[Any]:
    """The state of an open run; one that awaits its next attempt carries the message of the last failure."""
    state = open_state(row.run_id, row.status, row.retries, row.crashes, row.due_at)
    if row.status not in (Status.DELAYED, Status.LIMITED) or not row.outcome:
        return state
    if (end := ScriptedEnd.unpack(row.outcome)) is not None:  # its process was killed, or no worker knows its task
        return state.copy(message=end.text)
    fields = _fields_of(row._replace(status=Status.FAILED))  # as what the attempt's outcome was written
    return state.copy(message=fields.message) if fields else state


def _fields_of(row: Row) -> OutcomeFields | None:
    return fields_of(row.run_id, row.status, row.outcome)


def _result_and_error(row: Row, redaction: Redaction) -> tuple[str | None, str | None]:
    """The result as text, or the error's traceback."""
    if row.status not in FINAL_STATUSES:
        return None, None
    if row.status == Status.COMPLETED:
        fields = _fields_of(row)
        body = fields.body if fields else None
        return (result_text(row.run_id, body, redaction) if body else "None"), None
    error = read_outcome(row.run_id, row.status, row.outcome or b"\0").error()
    return None, _traceback_text(error) if error is not None else None


def _traceback_text(error: BaseException) -> str:
    """The worker's traceback, followed by the error where the traceback does not end with it."""
    if isinstance(error.__cause__, RemoteTraceback):
        there = str(error.__cause__).strip()
        if type(error).__name__ in there.rpartition("\n")[2]:
            return there
    return "".join(traceback.format_exception(error)).rstrip()
