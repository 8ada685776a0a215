"""What the index keeps of a run, read from its record without restoring arguments, results or errors."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

from brokers.contract import SETTLED, Status
from brokers.redis.journal import SUBMITTED, Row
from orchestrator import serializers
from orchestrator.outcomes import end_context, open_state, read_outcome, type_of
from orchestrator.states import State

LARGEST_OUTCOME: Final = 16_384  # bytes; of runs with larger ones, message and worker are not known here
LONGEST_MESSAGE: Final = 300  # characters
StateWords = tuple[str, str]  # type and name


class Facts(NamedTuple):
    """Moments are unix milliseconds."""

    run_id: str
    task: str
    queue: str
    state: StateWords
    flow_run_id: str | None
    parent: str | None
    tags: tuple[str, ...]
    worker: str | None
    started: int | None
    ended: int | None
    message: str | None
    status: bytes
    run_count: int


_defaults: dict[tuple[bytes, Any], StateWords] = {}


def words_of(status: bytes, again: bool = False) -> StateWords:
    """Type and name of a state that a letter of the journal or a record stands for.

    >>> words_of(b"D", again=True), words_of(b"C")
    (('SCHEDULED', 'AwaitingRetry'), ('COMPLETED', 'Completed'))
    """
    found = _defaults.get((status, again))
    if found is None:
        if status == SUBMITTED:
            found = ("PENDING", "Submitted")
        elif status == Status.NOT_READY:
            found = ("PENDING", "NotReady")
        elif status in SETTLED:
            found = _named(status, None)
        else:
            state = open_state("", status, int(again), 0)
            found = (state.type.value, state.name)
        _defaults[status, again] = found
    return found


def _named(status: bytes, name: str | None) -> StateWords:
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
    tags, parent = _meta(row.meta)
    state, worker, message, started, count = words_of(row.status, row.retries > 0), None, None, None, 0
    if row.started_at:
        started = int(row.started_at * 1000)
    if row.status in SETTLED:
        fields = _outcome(row)
        if fields is not None:
            name, message, begun, _, count, _, worker = fields
            state, worker, started = _named(row.status, name), worker or None, int(begun * 1000)
        elif row.outcome and row.outcome[:1] == b"\0":
            told = read_outcome(row.run_id, row.status, row.outcome)
            state, message = (told.type.value, told.name), told.message
    return Facts(
        row.run_id,
        row.task,
        row.queue,
        state,
        row.flow_run_id,
        parent,
        tags,
        worker,
        started,
        ended,
        first_line(message) if message else None,
        row.status,
        count,
    )


def first_line(text: str) -> str:
    """What a list shows of a message."""
    return text.strip().split("\n", 1)[0][:LONGEST_MESSAGE]


def _meta(packed: bytes | None) -> tuple[tuple[str, ...], str | None]:
    if not packed:
        return (), None
    try:
        meta = msgpack.unpackb(packed)
        return tuple(str(tag) for tag in meta.get("g", ())), meta.get("P")
    except Exception:  # somebody else's bytes: the record has no tags then
        return (), None


def _outcome(row: Row) -> list[Any] | None:
    outcome = row.outcome
    if not outcome or outcome[:1] == b"\0":
        return None
    try:
        plain = serializers.disclose(outcome, lambda: end_context(row.run_id, row.status.decode()))
        fields = msgpack.unpackb(plain)
        float(fields[2]), float(fields[3])
        return [*fields, ""][:7] if len(fields) >= 6 else None
    except Exception:  # a key is missing here, or the bytes are damaged: the state is known without them
        return None
