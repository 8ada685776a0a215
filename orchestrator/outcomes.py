"""How the end of a run is written into its record, and read again.

An outcome is one msgpack array: name, message, started (unix seconds), ended, run count, body, worker (its name, empty
where none has one). The body of a Completed run is its packed result, that of another end its packed exception. Where
the fleet has keys all of it is signed, or encrypted, for its run and its end. A script that ends a run by itself
(cancel, expiry, dead worker) writes a zero byte and a sentence instead; where the process was killed for the run,
another zero byte and the last stack of the run may follow.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgpack

from brokers.contract import Status
from orchestrator import serializers
from orchestrator.errors import (
    MissingResult,
    RemoteTraceback,
    RunCancelled,
    RunLost,
    SerializationError,
    TaskTimeout,
)
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

E = TypeVar("E", bound=BaseException)

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
    """The bytes of an outcome; ``name`` is ``None`` when it is the type's own."""
    return msgpack.packb((name, message, started, ended, run_count, body, worker))  # type: ignore[no-any-return]


def enclosed(run_id: str, letter: str, outcome: bytes) -> bytes:
    """The outcome as it is stored: where the fleet has keys it is signed and encrypted, for this run and this end."""
    return serializers.enclose(outcome, lambda: end_context(run_id, letter))


def end_context(run_id: str, letter: str) -> tuple[str, str, str]:
    """What a protected outcome is bound to."""
    return ("outcome", run_id, letter)


def flow_message(flow_run_id: str, message: str) -> bytes:
    """The message of a flow run's state as it is stored."""
    return serializers.enclose(message.encode("utf-8", "replace"), lambda: ("flow", flow_run_id))


def message_of_flow(flow_run_id: str, stored: bytes) -> str:
    """That message, or why it cannot be read here."""
    if not stored:
        return ""
    try:
        return serializers.disclose(stored, lambda: ("flow", flow_run_id)).decode("utf-8", "replace")
    except SerializationError as error:
        return f"(cannot be read: {error})"


def read_outcome(run_id: str, status: bytes, outcome: bytes) -> State[Any]:
    """The state that a settled run's record tells. Never raises: what cannot be read becomes the state's error."""
    if status == Status.UNKNOWN:
        return _lost(run_id)
    kind = _TYPES[status]
    if outcome[:1] == b"\0" and kind is not StateType.COMPLETED:  # no script completes a run
        return _by_script(run_id, kind, outcome[1:].decode("utf-8", "replace"))
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


def type_of(status: bytes) -> StateType:
    """The type of the state that a settled status tells."""
    return _TYPES[status]


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _read_body(run_id: str, kind: StateType, body: bytes | None) -> Any:
    if body is None:
        return None
    if kind is StateType.COMPLETED:
        return serializers.unpack_value(body, context=lambda: result_context(run_id), enclosed=True)
    return serializers.unpack_exception(body)


def _by_script(run_id: str, kind: StateType, text: str) -> State[Any]:
    if kind is StateType.PENDING:
        message = f"run {run_id} was not started: its upstream {text} did not complete"
        return State(kind, "NotReady", message, data=text, task_run_id=run_id)
    text, _, stack = text.partition("\0")
    if kind is StateType.FAILED and text.startswith("timed out"):  # by the supervisor, which killed its process
        return State(kind, "TimedOut", text, data=_with_stack(TaskTimeout(text), stack), task_run_id=run_id)
    if stack and kind is StateType.CANCELLED:
        return State(kind, None, text, data=_with_stack(RunCancelled(text), stack), task_run_id=run_id)
    name = "Expired" if kind is StateType.CANCELLED and text.startswith("expired") else None
    return State(kind, name, text, task_run_id=run_id)


def _with_stack(error: E, stack: str) -> E:
    """The error, with the remote stack where a remote traceback would be."""
    if stack:
        error.__cause__ = RemoteTraceback(stack)
    return error


def _lost(run_id: str) -> State[Any]:
    text = (
        f"the store knows nothing of run {run_id}: its record has expired, or the server was emptied. "
        "Whether it ran cannot be told; submit it again if that is safe."
    )
    return State(StateType.CRASHED, "Lost", text, data=RunLost(text), task_run_id=run_id)


def _unreadable(run_id: str, kind: StateType, error: Exception) -> State[Any]:
    failure = error if isinstance(error, SerializationError) else MissingResult(f"the outcome cannot be read: {error}")
    text = f"run {run_id} ended {kind.value}, but its outcome cannot be read here: {failure}"
    return State(StateType.CRASHED, "Unreadable", text, data=failure, task_run_id=run_id)


def open_state(run_id: str, status: bytes, retries: int, crashes: int) -> State[Any]:
    """The state of a run that has not settled."""
    kind, name = _OPEN[status]
    if retries and kind is StateType.SCHEDULED:
        name = "AwaitingRetry"
    if retries and kind is StateType.RUNNING:
        name = "Retrying"
    run_count = retries + crashes + (1 if kind is StateType.RUNNING else 0)
    return State(kind, name, task_run_id=run_id, run_count=run_count)
