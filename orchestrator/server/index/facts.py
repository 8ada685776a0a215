"""What the index keeps of a run, read from its record without restoring arguments, results or errors."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import SUBMITTED, Row
from brokers.schema import CallMeta, ScriptedEnd
from orchestrator import serializers
from orchestrator.serializers.outcomes import end_context, name_of_run, open_state, read_outcome, type_of
from orchestrator.states import State

MAX_OUTCOME: Final = 16_384  # bytes; of runs with larger ones, message and worker are not known here
MAX_MESSAGE: Final = 300  # characters
MAX_MOMENT: Final = 2.0**40  # unix seconds; a later moment is damaged
MAX_SECONDS: Final = 10.0**9  # that an attempt took
StateName = tuple[str, str]  # type and name


class Facts(NamedTuple):
    """Moments are unix milliseconds."""

    run_id: str
    task: str
    queue: str
    state: StateName
    flow_run_id: str | None
    parent: str | None
    tags: tuple[str, ...]
    worker: str | None
    started: int | None
    ended: int | None
    message: str | None
    status: bytes
    run_count: int
    took_us: int | None = None  # microseconds of the last attempt, by its worker's clock
    task_name: str = ""  # of ``@task(name=...)``
    name: str = ""  # that the run was given


_defaults: dict[tuple[bytes, Any], StateName] = {}


def state_of_letter(status: bytes, retrying: bool = False) -> StateName:
    """Type and name of a state that a letter of the journal or a record stands for.

    >>> state_of_letter(b"D", retrying=True), state_of_letter(b"C")
    (('SCHEDULED', 'AwaitingRetry'), ('COMPLETED', 'Completed'))
    """
    found = _defaults.get((status, retrying))
    if found is None:
        if status == SUBMITTED:
            found = ("PENDING", "Submitted")
        elif status == Status.NOT_READY:
            found = ("PENDING", "NotReady")
        elif status in FINAL_STATUSES:
            found = _named(status, None)
        else:
            state = open_state("", status, int(retrying), 0)
            found = (state.type.value, state.name)
        _defaults[status, retrying] = found
    return found


def _named(status: bytes, name: str | None) -> StateName:
    found = _defaults.get((status, name or ""))
    if found is None:
        state: State[Any] = State(type_of(status), name or None)
        found = _defaults[status, name or ""] = (state.type.value, state.name)
    return found


def facts_of(row: Row, ended: int | None) -> Facts:
    """One record, read; never raises for what a record may hold.

    Args:
        row: the record.
        ended: unix milliseconds of its end by the server's clock, where that is known.
    """
    meta = CallMeta.shown(row.meta)
    state, worker, message, started, count = state_of_letter(row.status, row.retries > 0), None, None, None, 0
    took_us = None
    if row.started_at:
        started = int(row.started_at * 1000)
    if row.status in FINAL_STATUSES:
        fields = _outcome(row)
        if fields is not None:
            name, message, begun, over, count, _, worker = fields
            took_us = round(max(0.0, min(over - begun, MAX_SECONDS)) * 1e6) if begun else None
            state, worker, started = _named(row.status, name), worker or None, int(begun * 1000)
        elif ScriptedEnd.unpack(row.outcome) is not None:
            ended_in = read_outcome(row.run_id, row.status, row.outcome or b"")
            state, message = (ended_in.type.value, ended_in.name), ended_in.message
    return Facts(
        row.run_id,
        row.task,
        row.queue,
        state,
        row.flow_run_id,
        meta.parent_run_id or None,
        tuple(meta.tags),
        worker,
        started,
        ended,
        first_line(message) if message else None,
        row.status,
        count,
        took_us,
        meta.task_name or "",
        name_of_run(row.run_id, "", row.name) if row.name else "",
    )


def first_line(text: str) -> str:
    """What a list shows of a message."""
    return text.strip().split("\n", 1)[0][:MAX_MESSAGE]


def _outcome(row: Row) -> list[Any] | None:
    outcome = row.outcome
    if not outcome or ScriptedEnd.unpack(outcome) is not None:
        return None
    try:
        plain = serializers.disclose(outcome, lambda: end_context(row.run_id, row.status.decode()))
        fields = msgpack.unpackb(plain)
        return [*fields, ""][:7] if _is_outcome(fields) else None
    except Exception:  # a key is missing here, or the bytes are damaged: the state is known without them
        return None


def _is_outcome(fields: Any) -> bool:
    """Whether these are a name, a message, beginning and end, a count, a body, and perhaps a worker."""
    if not isinstance(fields, list) or len(fields) < 6:
        return False
    name, message, began, ended, count = fields[:5]
    moments = all(isinstance(moment, int | float) and 0 <= moment < MAX_MOMENT for moment in (began, ended))
    texts = all(text is None or isinstance(text, str) for text in (name, message, *fields[6:7]))
    return moments and texts and isinstance(count, int)
