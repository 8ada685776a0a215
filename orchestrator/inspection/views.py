"""What is known of a run, as one table of plain values."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgpack

from brokers.contract import SETTLED, Status
from brokers.redis.journal import Journal, Row
from orchestrator import serializers
from orchestrator.envelopes import call_context
from orchestrator.errors import SerializationError
from orchestrator.fleet import Fleet
from orchestrator.ids import created_at
from orchestrator.inspection.values import Redaction, shown_call, shown_result
from orchestrator.outcomes import end_context, open_state, read_outcome, type_of
from orchestrator.states import State

LARGEST_OUTCOME: Final = 65_536  # bytes; a list does not read larger ones: their message, end and worker are not shown
PRIORITIES: Final = {"h": "high", "d": "default", "l": "low", "r": "default"}


@dataclass(frozen=True, slots=True)
class RunView:
    """A run in a list. Moments are in UTC; those that are not known are ``None``."""

    id: str
    task: str
    state_type: str  # of Prefect's: SCHEDULED, PENDING, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED, CRASHED
    state_name: str  # the type's own, or more precise: Late, Retrying, TimedOut, Cached, NotReady, ...
    message: str | None
    queue: str
    priority: str
    tags: tuple[str, ...]
    created: datetime | None  # told by the id; None for ids of others
    started: datetime | None
    ended: datetime | None
    due: datetime | None  # not to be queued before
    run_count: int
    retries: int
    crashes: int
    take_overs: int
    worker: str | None  # who ran it, or runs it
    flow_run_id: str | None
    parent_task_run_id: str | None

    def as_json(self) -> dict[str, Any]:
        """The same with moments as ISO 8601 texts."""
        facts = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run on a page of its own."""

    run: RunView
    parameters: list[tuple[str, str]] | None  # name and text; None: they are gone, or cannot be read here
    parameters_note: str | None  # why they are not shown
    result: str | None  # as text, of a Completed run
    error: str | None  # traceback as text, of one that ended otherwise

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
    """What a list shows of these runs, in order; those whose records have expired are left out.

    Raises:
        BrokerError: the server does not answer.
    """
    rows = Journal(fleet.broker).rows(run_ids, LARGEST_OUTCOME)
    return [view_of(row) for row in rows if row.status != Status.UNKNOWN]


def detail_of(
    fleet: Fleet, run_id: str, redaction: Redaction, parameter_names: Mapping[str, Sequence[str]] | None = None
) -> RunDetail | None:
    """Everything about one run, ``None`` if there is no record of it.

    Args:
        fleet: where it is.
        run_id: which.
        redaction: names whose values are not shown.
        parameter_names: of tasks that are known here, the names of their parameters.
    """
    journal = Journal(fleet.broker)
    (row,) = journal.rows([run_id], fleet.limits.max_bytes)
    if row.status == Status.UNKNOWN:
        return None
    (body,) = fleet.broker.wires.commands([("HGET", fleet.broker.keys.record(run_id), "b")])
    parameters, note = None, "they were not kept: the run completed, and they were large"
    if body:
        try:
            names = (parameter_names or {}).get(row.task, ())
            parameters = shown_call(body, call_context(row.task, run_id, row.meta), redaction, names)
            note = ""
        except SerializationError as error:
            note = str(error)
    result, error_text = _end_of(row, redaction)
    run = view_of(row)
    run = replace(run, worker=run.worker or journal.holder(row))
    return RunDetail(run, parameters, note or None, result, error_text)


def view_of(row: Row) -> RunView:
    """One row, read."""
    meta = _meta_of(row)
    state, started, ended, worker = _outcome_of(row)
    return RunView(
        id=row.run_id,
        task=row.task,
        state_type=state.type.value,
        state_name=state.name,
        message=state.message,
        queue=row.queue,
        priority=PRIORITIES.get(row.priority, "default"),
        tags=tuple(str(tag) for tag in meta.get("g", ())),
        created=_created(row.run_id),
        started=started,
        ended=ended,
        due=_moment(row.due_at),
        run_count=state.run_count,
        retries=row.retries,
        crashes=row.crashes,
        take_overs=row.take_overs,
        worker=worker,
        flow_run_id=row.flow_run_id,
        parent_task_run_id=meta.get("P"),
    )


def _meta_of(row: Row) -> dict[str, Any]:
    try:
        read = msgpack.unpackb(row.meta) if row.meta else {}
    except Exception:
        return {}
    return read if isinstance(read, dict) else {}


def _created(run_id: str) -> datetime | None:
    return created_at(run_id) if run_id[14:15] == "7" and len(run_id) == 36 else None


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _outcome_of(row: Row) -> tuple[State[Any], datetime | None, datetime | None, str | None]:
    """The state, when the last attempt began and ended, and who ran it. The result itself is not restored."""
    if row.status not in SETTLED:
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
    """The state of a run that has not ended; one that waits for its next attempt says why the last one failed."""
    state = open_state(row.run_id, row.status, row.retries, row.crashes)
    if row.status != Status.DELAYED or not row.retries or not row.outcome:
        return state
    if row.outcome[:1] == b"\0":  # its process was killed for it
        return state.copy(message=row.outcome[1:].partition(b"\0")[0].decode("utf-8", "replace"))
    fields = _fields_of(row._replace(status=Status.FAILED))  # as what the attempt's outcome was written
    return state.copy(message=fields[1]) if fields else state


def _fields_of(row: Row) -> list[Any] | None:
    if not row.outcome or row.outcome[:1] == b"\0":
        return None
    try:
        plain = serializers.disclose(row.outcome, lambda: end_context(row.run_id, row.status.decode()))
        fields = msgpack.unpackb(plain)
        return [*fields, ""][:7] if isinstance(fields, list) and len(fields) >= 6 else None
    except Exception:
        return None


def _end_of(row: Row, redaction: Redaction) -> tuple[str | None, str | None]:
    """The result as text, or the error's traceback."""
    if row.status not in SETTLED:
        return None, None
    if row.status == Status.COMPLETED:
        fields = _fields_of(row)
        body = fields[5] if fields else None
        return (shown_result(row.run_id, body, redaction) if body else "None"), None
    error = read_outcome(row.run_id, row.status, row.outcome or b"\0").error()
    return None, "".join(traceback.format_exception(error)).rstrip() if error is not None else None
