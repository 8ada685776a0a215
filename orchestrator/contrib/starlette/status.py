"""What a client of the web application is told of a run: plain JSON, whatever the task returned."""

from __future__ import annotations

import dataclasses
import math
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, Field

from brokers.contract import SETTLED, Record, Status
from orchestrator.fleet import Fleet
from orchestrator.ids import created_at
from orchestrator.outcomes import open_state, read_outcome
from orchestrator.progress_notes import Progress
from orchestrator.states import State

MARK: Final = "$repr"
LONGEST_REPR: Final = 2000  # characters
DEEPEST: Final = 40  # values inside values


class ProgressStatus(BaseModel):
    """How far the run has come."""

    done: float
    total: float | None = None
    note: str | None = None
    fraction: float | None = Field(None, description="from 0 to 1; null while the total is not known")


class ErrorStatus(BaseModel):
    """Why a run did not complete."""

    type: str
    message: str
    traceback: str | None = Field(None, description="only where the application shows tracebacks")


class TaskStatus(BaseModel):
    """A run."""

    id: str
    task: str | None = None
    state: str = Field(description="SCHEDULED, PENDING, RUNNING, CANCELLING, COMPLETED, FAILED, CANCELLED or CRASHED")
    name: str = Field(description="the same, or more precise: Retrying, TimedOut, Cached, ...")
    message: str | None = None
    ended: bool
    run_count: int = 0
    created: datetime | None = None
    progress: ProgressStatus | None = None
    result: Any = Field(None, description='of a completed run; a part that JSON cannot hold is {"$repr": "..."}')
    error: ErrorStatus | None = None


class Seen(NamedTuple):
    """What the store said of a run."""

    record: Record
    progress: Progress | None

    @property
    def known(self) -> bool:
        """Whether there is a record of it."""
        return self.record.status != Status.UNKNOWN

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.record.status in SETTLED

    @property
    def state(self) -> State[Any]:
        """Its state; restores the result."""
        run_id, status, outcome = self.record.run_id, self.record.status, self.record.outcome
        if self.ended or not self.known:
            return read_outcome(run_id, status, outcome or b"\0")
        return open_state(run_id, status, self.record.retries, self.record.crashes)


def look_at(fleet: Fleet, run_ids: Sequence[str]) -> dict[str, Seen]:
    """What is known of these runs, in two trips. Blocks.

    Raises:
        BrokerError: the store does not answer.
    """
    fleet.sender.flush()
    records = fleet.broker.read(list(run_ids))
    progress = fleet.logs.progress_of(list(run_ids))  # after the records: that of an ended run is its last
    return {record.run_id: Seen(record, progress.get(record.run_id)) for record in records}


def status_of(seen: Seen, *, tracebacks: bool = False, result: bool = True) -> TaskStatus:
    """A run as it is told to clients.

    Args:
        seen: what the store said.
        tracebacks: whether errors are told with theirs.
        result: whether the result of a completed run is told.
    """
    state, record = seen.state, seen.record
    completed = state.is_completed()
    return TaskStatus(
        id=record.run_id,
        task=record.task,
        state=state.type.value,
        name=state.name,
        message=state.message,
        ended=seen.ended or not seen.known,
        run_count=state.run_count,
        created=_created(record.run_id),
        progress=_progress(seen.progress),
        result=json_safe(state.data) if completed and result else None,
        error=None if completed or not seen.ended else _error(state, tracebacks),
    )


def _created(run_id: str) -> datetime | None:
    return created_at(run_id) if run_id[14:15] == "7" and len(run_id) == 36 else None


def _progress(progress: Progress | None) -> ProgressStatus | None:
    if progress is None:
        return None
    return ProgressStatus(done=progress.done, total=progress.total, note=progress.note, fraction=progress.fraction)


def _error(state: State[Any], tracebacks: bool) -> ErrorStatus | None:
    error = state.error()
    if error is None:
        return None
    told = "".join(traceback.format_exception(error)).rstrip() if tracebacks else None
    return ErrorStatus(type=type(error).__name__, message=_shown(error, str), traceback=told)


def json_safe(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it. What it cannot is ``{"$repr": "..."}``, so that nobody takes it for a text.

    Moments, UUIDs, decimals, paths and enumerations become their usual texts; models and dataclasses objects; tuples
    and sets lists.

    >>> json_safe({"sizes": (1, 2), "much": float("inf"), "what": ...})
    {'sizes': [1, 2], 'much': {'$repr': 'inf'}, 'what': {'$repr': 'Ellipsis'}}
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if depth > DEEPEST:
        return _marked(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _marked(value)
    if isinstance(value, Mapping):
        return {_key(name): json_safe(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(part, depth + 1) for part in value]
    if isinstance(value, BaseModel):
        return {name: json_safe(getattr(value, name), depth + 1) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_safe(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    return _leaf(value)


def _leaf(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview | complex):
        return _marked(value)
    try:
        plain = to_jsonable_python(value)
    except Exception:
        return _marked(value)
    return plain if type(plain) in (bool, int, str) else _marked(value)


def _key(name: Any) -> str:
    return name if isinstance(name, str) else str(name) if type(name) in (int, float, bool) else _shown(name)


def _marked(value: Any) -> dict[str, str]:
    return {MARK: _shown(value)}


def _shown(value: Any, how: Any = repr) -> str:
    try:
        text = str(how(value))
    except Exception as error:  # it is the user's code
        text = f"<{type(value).__name__}, whose {how.__name__} raised {type(error).__name__}>"
    return text if len(text) <= LONGEST_REPR else f"{text[:LONGEST_REPR]}…"
