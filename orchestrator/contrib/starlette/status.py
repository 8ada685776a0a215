"""The status of a run as plain JSON, whatever the task returned."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, Field

from brokers.messages import FINAL_STATUSES, Record, Status
from brokers.schema import ScriptedEnd
from orchestrator.client.fleet import Fleet
from orchestrator.observability.progress_notes import Progress
from orchestrator.runs.run_ids import created_at
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers.outcomes import open_state, read_outcome
from orchestrator.states import State

REPR_KEY: Final = "$repr"
MAX_REPR: Final = 2000  # characters
MAX_DEPTH: Final = 40  # values inside values


class ProgressStatus(BaseModel):
    """Progress of a run."""

    done: float
    total: float | None = None
    note: str | None = None
    fraction: float | None = Field(None, description="from 0 to 1; null while the total is not known")


class ErrorStatus(BaseModel):
    """The error of a run."""

    type: str
    message: str
    traceback: str | None = Field(None, description="only where the application shows tracebacks")


class TaskStatus(BaseModel):
    """Status of a run."""

    id: str
    task: str | None = None
    state: str = Field(description="SCHEDULED, PENDING, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED or CRASHED")
    name: str = Field(description="the state's name, which may be more precise: Retrying, TimedOut, Cached, ...")
    message: str | None = None
    ended: bool
    run_count: int = 0
    created: datetime | None = None
    progress: ProgressStatus | None = None
    result: Any = Field(None, description='of a completed run; a part that JSON cannot hold is {"$repr": "..."}')
    error: ErrorStatus | None = None


class RunSnapshot(NamedTuple):
    """The record and progress of a run."""

    record: Record
    progress: Progress | None

    @property
    def known(self) -> bool:
        """Whether there is a record of the run."""
        return self.record.status != Status.UNKNOWN

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.record.status in FINAL_STATUSES

    @property
    def state(self) -> State[Any]:
        """The run's state; restores the result."""
        run_id, status, outcome = self.record.run_id, self.record.status, self.record.outcome
        if self.ended or not self.known:
            return read_outcome(run_id, status, outcome or b"\0")
        state = open_state(run_id, status, self.record.retries, self.record.crashes, self.record.due_at)
        if status == Status.LIMITED and (waits := ScriptedEnd.unpack(outcome)) is not None:
            return state.copy(message=waits.text)  # no worker knows its task
        return state


def read_snapshots(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, RunSnapshot]:
    """Read these runs in two round trips. Blocks.

    Raises:
        BrokerError: the store does not answer.
    """
    fleet.sender.flush()
    records = fleet.broker.records.read(list(run_ids))
    progress = fleet.logs.progress_of(list(run_ids))  # after the records, so that an ended run's progress is its last
    return {record.run_id: RunSnapshot(record, progress.get(record.run_id)) for record in records}


def status_of(snapshot: RunSnapshot, *, tracebacks: bool = False, result: bool = True) -> TaskStatus:
    """The status of a run for clients.

    Args:
        snapshot: what was read from the store.
        tracebacks: whether errors include their tracebacks.
        result: whether the result of a completed run is included.
    """
    state, record = snapshot.state, snapshot.record
    completed = state.is_completed()
    return TaskStatus(
        id=record.run_id,
        task=record.task,
        state=state.type.value,
        name=state.name,
        message=state.message,
        ended=snapshot.ended or not snapshot.known,
        run_count=state.run_count,
        created=created_at(record.run_id),
        progress=_progress(snapshot.progress),
        result=_result(state.data) if completed and result else None,
        error=None if completed or not snapshot.ended else _error(state, tracebacks),
    )


def _progress(progress: Progress | None) -> ProgressStatus | None:
    if progress is None:
        return None
    return ProgressStatus(done=progress.done, total=progress.total, note=progress.note, fraction=progress.fraction)


def _error(state: State[Any], tracebacks: bool) -> ErrorStatus | None:
    error = state.error()
    if error is None:
        return None
    text = "".join(traceback.format_exception(error)).rstrip() if tracebacks else None
    return ErrorStatus(type=type(error).__name__, message=_text(error, str), traceback=text)


def _result(data: Any) -> Any:
    """A result, or where it is: a page need not be able to read from every storage."""
    return data.facts if isinstance(data, StoredResult) else json_safe(data)


def json_safe(value: Any, depth: int = 0) -> Any:
    """The value in JSON types. Parts that JSON cannot hold become ``{"$repr": "..."}``, distinct from any string.

    Datetimes, UUIDs, decimals, paths and enums become their usual strings; models and dataclasses objects; tuples and
    sets lists.

    >>> json_safe({"sizes": (1, 2), "much": float("inf"), "what": ...})
    {'sizes': [1, 2], 'much': {'$repr': 'inf'}, 'what': {'$repr': 'Ellipsis'}}
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if depth > MAX_DEPTH:
        return _as_repr(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _as_repr(value)
    if isinstance(value, Mapping):
        return {_key(name): json_safe(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(part, depth + 1) for part in value]
    if isinstance(value, BaseModel):
        return {name: json_safe(getattr(value, name), depth + 1) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_safe(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    return _plain(value)


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview | complex):
        return _as_repr(value)
    try:
        plain = to_jsonable_python(value)
    except Exception:
        return _as_repr(value)
    return plain if type(plain) in (bool, int, str) else _as_repr(value)


def _key(name: Any) -> str:
    return name if isinstance(name, str) else str(name) if type(name) in (int, float, bool) else _text(name)


def _as_repr(value: Any) -> dict[str, str]:
    return {REPR_KEY: _text(value)}


def _text(value: Any, how: Any = repr) -> str:
    try:
        text = str(how(value))
    except Exception as error:  # it is the user's code
        text = f"<{type(value).__name__}, whose {how.__name__} raised {type(error).__name__}>"
    return text if len(text) <= MAX_REPR else f"{text[:MAX_REPR]}…"
