"""How the end of a run is written into its record, and read again.

An outcome is one msgpack array: name, message, started (unix seconds), ended, run count, body, worker (its name, empty
where none has one). The body of a Completed run is its packed result, that of another end its packed exception. Where
the fleet has keys all of it is signed, or encrypted, for its run and its end. A script that ends a run by itself
(cancel, expiry, dead worker) writes a :class:`brokers.schema.ScriptedEnd` instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

import msgpack

from brokers.messages import Status
from brokers.schema import Reason, ScriptedEnd
from orchestrator import serializers
from orchestrator.errors import (
    MissingResult,
    RemoteTraceback,
    RunCancelled,
    RunCrashed,
    RunLost,
    SerializationError,
    TaskTimeout,
)
from orchestrator.runs.run_ids import default_run_name
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers import known_types
from orchestrator.serializers.signing import Parts, SharedContext
from orchestrator.states import State, StateType

_TYPES: Final = {
    Status.COMPLETED: StateType.COMPLETED,
    Status.FAILED: StateType.FAILED,
    Status.CANCELLED: StateType.CANCELLED,
    Status.CRASHED: StateType.CRASHED,
    Status.NOT_READY: StateType.PENDING,
}
_OPEN: Final = {
    Status.PARKED: (StateType.PENDING, "Pending"),
    Status.LIMITED: (StateType.PENDING, "Pending"),
    Status.QUEUED: (StateType.PENDING, "Pending"),
    Status.DELAYED: (StateType.SCHEDULED, "Scheduled"),
    Status.RUNNING: (StateType.RUNNING, "Running"),
    Status.CANCELLING: (StateType.CANCELLING, "Cancelling"),
    Status.AWAY: (StateType.PENDING, "Pending"),
    Status.AWAY_RUNNING: (StateType.RUNNING, "Running"),
}
LETTERS: Final = {
    StateType.COMPLETED: "C",
    StateType.FAILED: "F",
    StateType.CANCELLED: "K",
    StateType.CRASHED: "Z",
}

_ENDS: Final = {letter: SharedContext(("outcome",), (letter,)) for letter in LETTERS.values()}

E = TypeVar("E", bound=BaseException)

known_types.learn(StoredResult)  # what an outcome has in place of a result that is in a file
_pack = msgpack.Packer().pack
_unpack = msgpack.unpackb


def result_context(run_id: str) -> tuple[str, str]:
    """What a signed result is bound to."""
    return ("result", run_id)


def pack_outcome(
    name: str | None,
    message: str | None,
    started: float,
    ended: float,
    run_count: int,
    body: bytes | None,
    worker: str = "",
) -> bytes:
    """The bytes of an outcome; ``name`` is ``None`` when it is the type's own. Texts are made fit, see :func:`fit`."""
    name, message = name and fit(name, NAME_CHARS), message and fit(message)
    return msgpack.packb((name, message, started, ended, run_count, body, worker))  # type: ignore[no-any-return]


MESSAGE_CHARS: Final = 16_384
NAME_CHARS: Final = 200


def fit(text: str, longest: int = MESSAGE_CHARS) -> str:
    """A text that every reader can read: lone surrogates written out, and cut, with a mark, if it is too long.

    >>> fit("caf\\udce9"), fit("12345", 3)
    ('caf\\\\udce9', '123... (5 characters, cut here)')
    """
    if len(text) > longest:
        text = f"{text[:longest]}... ({len(text):,} characters, cut here)"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def enclosed(run_id: str, letter: str, outcome: bytes) -> bytes:
    """The outcome as it is stored: where the fleet has keys it is signed and encrypted, for this run and this end."""
    return serializers.enclose(outcome, lambda: end_context(run_id, letter))


def end_context(run_id: str, letter: str) -> Parts:
    """What a protected outcome is bound to."""
    shared = _ENDS.get(letter)
    return shared.of(run_id) if shared is not None else ("outcome", run_id, letter)


def flow_message(flow_run_id: str, message: str) -> bytes:
    """The message of a flow run's state as it is stored."""
    return serializers.enclose(fit(message).encode(), lambda: ("flow", flow_run_id))


def message_of_flow(flow_run_id: str, stored: bytes) -> str:
    """That message, or why it cannot be read here."""
    if not stored:
        return ""
    try:
        return serializers.disclose(stored, lambda: ("flow", flow_run_id)).decode("utf-8", "replace")
    except SerializationError as error:
        return f"(cannot be read: {error})"


LONGEST_NAME: Final = 200  # characters of a run's name that are kept


def stored_name(run_id: str, name: str | None) -> bytes:
    """The name that a run was given, as it is kept in its record; empty for none."""
    if not name:
        return b""
    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    return serializers.enclose(short.encode("utf-8", "replace"), lambda: ("name", run_id))


def name_of_run(run_id: str, task_name: str, stored: bytes | None) -> str:
    """The name of a run for people: the one it was given, else one made of its task's."""
    if stored:
        try:
            return serializers.disclose(stored, lambda: ("name", run_id)).decode("utf-8", "replace")
        except SerializationError:
            pass  # written with a key that is not here
    return default_run_name(task_name, run_id)


def read_outcome(run_id: str, status: bytes, outcome: bytes) -> State[Any]:
    """The state of a settled run, from its record. Never raises: what cannot be read becomes the state's error."""
    if status == Status.UNKNOWN:
        return _lost(run_id)
    kind = _TYPES.get(status)
    if kind is None:
        return _damaged(run_id, status)
    end = ScriptedEnd.unpack(outcome) if kind is not StateType.COMPLETED else None  # no script completes a run
    if end is not None:
        return _by_script(run_id, kind, end)
    try:
        outcome = serializers.disclose(outcome, lambda: end_context(run_id, status.decode()))
        name, message, _, ended, run_count, body = _unpack(outcome)[:6]
        if not (_is_text(name) and _is_text(message) and isinstance(run_count, int)):
            raise SerializationError("the outcome holds something else than it should")
        moment = datetime.fromtimestamp(ended, UTC)
        data = _read_body(run_id, kind, body)
    except Exception as error:
        return _unreadable(run_id, kind, error)
    return State(kind, name or None, message, moment, data, task_run_id=run_id, run_count=run_count)


def read_result(run_id: str, outcome: bytes) -> Any:
    """The result of a Completed run, and nothing else of its outcome: for whoever reads many.

    Raises:
        Exception: it cannot be read; :func:`read_outcome` says why.
    """
    outcome = serializers.disclose(outcome, lambda: end_context(run_id, "C"))
    name, message, _, ended, run_count, body = _unpack(outcome)[:6]
    if not (_is_text(name) and _is_text(message) and type(run_count) is int and type(ended) is float):
        raise SerializationError("the outcome holds something else than it should")
    if body is None:
        return None
    return serializers.unpack_value(body, context=lambda: result_context(run_id), enclosed=True)


class OutcomeFields(NamedTuple):
    """What an outcome says beside the result; moments in unix seconds."""

    name: str | None
    message: str | None
    started: float
    ended: float
    run_count: int
    body: bytes | None
    worker: str | None


def fields_of(run_id: str, status: bytes, outcome: bytes | None) -> OutcomeFields | None:
    """What a stored outcome says, ``None`` where a script wrote it, a key is missing here, or it is damaged."""
    if not outcome or ScriptedEnd.unpack(outcome) is not None:
        return None
    try:
        fields = _unpack(serializers.disclose(outcome, lambda: end_context(run_id, status.decode())))
        name, message, started, ended, run_count, body, worker = [*fields, None][:7]
        datetime.fromtimestamp(started, UTC), datetime.fromtimestamp(ended, UTC)
    except Exception:
        return None
    if not (_is_text(name) and _is_text(message) and _is_text(worker) and isinstance(run_count, int)):
        return None
    if not (body is None or isinstance(body, bytes)):
        return None
    return OutcomeFields(name, message, started, ended, run_count, body, worker)


def type_of(status: bytes) -> StateType:
    """The type of the state of a settled status."""
    return _TYPES[status]


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _read_body(run_id: str, kind: StateType, body: bytes | None) -> Any:
    if body is None:
        return None
    if kind is StateType.COMPLETED:
        return serializers.unpack_value(body, context=lambda: result_context(run_id), enclosed=True)
    return serializers.unpack_exception(body)


def _by_script(run_id: str, kind: StateType, end: ScriptedEnd) -> State[Any]:
    text, stack = end.text, end.stack
    if kind is StateType.PENDING:
        message = f"run {run_id} was not started: its upstream {text} did not complete"
        return State(kind, "NotReady", message, data=text, task_run_id=run_id)
    reason = end.reason or _reason_in_0_1(kind, text)
    if kind is StateType.FAILED and reason == Reason.TIMED_OUT:  # by the supervisor, which killed its process
        return State(kind, "TimedOut", text, data=_with_stack(TaskTimeout(text), stack), task_run_id=run_id)
    if stack and kind is StateType.CANCELLED:
        return State(kind, None, text, data=_with_stack(RunCancelled(text), stack), task_run_id=run_id)
    name = _NAMES_OF_CANCELLED.get(reason) if kind is StateType.CANCELLED else None
    return State(kind, name, text, task_run_id=run_id)


_NAMES_OF_CANCELLED: Final = {Reason.EXPIRED: "Expired", Reason.SUPERSEDED: "Superseded"}


def _reason_in_0_1(kind: StateType, text: str) -> str:
    """The reason of an end that 0.1 wrote, which had it in its sentences only."""
    if kind is StateType.FAILED and text.startswith("timed out"):
        return Reason.TIMED_OUT
    if kind is StateType.CANCELLED and text.startswith("expired"):
        return Reason.EXPIRED
    return ""


def _with_stack(error: E, stack: str) -> E:
    """The error, with the remote stack where a remote traceback would be."""
    if stack:
        error.__cause__ = RemoteTraceback(stack)
    return error


def _lost(run_id: str) -> State[Any]:
    text = (
        f"the store knows nothing of run {run_id}: its record has expired, or the server was emptied. "
        "Whether it ran is unknown; submit it again if that is safe."
    )
    return State(StateType.CRASHED, "Lost", text, data=RunLost(text), task_run_id=run_id)


def _damaged(run_id: str, status: bytes) -> State[Any]:
    text = f"the record of run {run_id} is damaged: its status is {status!r}, which is none. Submit it again."
    return State(StateType.CRASHED, "Damaged", text, data=RunCrashed(text), task_run_id=run_id)


def _unreadable(run_id: str, kind: StateType, error: Exception) -> State[Any]:
    failure = error if isinstance(error, SerializationError) else MissingResult(f"the outcome cannot be read: {error}")
    text = f"run {run_id} ended {kind.value}, but its outcome cannot be read here: {failure}"
    return State(StateType.CRASHED, "Unreadable", text, data=failure, task_run_id=run_id)


def open_state(run_id: str, status: bytes, retries: int, crashes: int, due_at: float | None = None) -> State[Any]:
    """The state of a run that has not settled; ``due_at`` (unix seconds) is when a Scheduled one is queued."""
    known = _OPEN.get(status)
    if known is None:
        return _damaged(run_id, status)
    kind, name = known
    if retries and kind is StateType.SCHEDULED:
        name = "AwaitingRetry"
    if retries and kind is StateType.RUNNING:
        name = "Retrying"
    run_count = retries + crashes + (1 if kind is StateType.RUNNING else 0)
    when = datetime.fromtimestamp(due_at, UTC) if due_at and kind is StateType.SCHEDULED else None
    return State(kind, name, task_run_id=run_id, run_count=run_count, scheduled_time=when)
