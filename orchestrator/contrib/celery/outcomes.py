"""The outcome of a Celery task in the form of our records."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from billiard.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerLostError
from celery.backends.rpc import RPCBackend
from celery.exceptions import Ignore, Reject, TaskRevokedError
from celery.states import FAILURE, SUCCESS

from brokers.messages import AckKind
from brokers.records import ExternalNote
from brokers.schema import Reason, ScriptedEnd
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.errors import PayloadTooLarge, RemoteTraceback, SerializationError
from orchestrator.serializers.outcomes import enclosed, pack_outcome, result_context

_CELERY_EXPIRED: Final = "expired"  # Celery's own word in a TaskRevokedError: it gives no other sign
_REPLACED: Final = "Replaced by new task"  # Celery's own text in Task.on_replace


def completed(fleet: Fleet, run_id: str, value: Any, started: float | None = None, retries: int = 0) -> ExternalNote:
    """The outcome of a task that returned. A result that cannot be serialized fails the run, as on our workers."""
    try:
        body = serializers.pack_value(
            value, context=lambda: result_context(run_id), limits=fleet.limits, serializer="msgpack", enclosed=True
        )
    except (SerializationError, PayloadTooLarge) as error:
        return failed(fleet, run_id, error, started=started, retries=retries)
    return _note(fleet, run_id, AckKind.COMPLETED, None, None, body, started, retries)


def failed(
    fleet: Fleet,
    run_id: str,
    error: BaseException,
    traceback: str | None = None,
    started: float | None = None,
    retries: int = 0,
) -> ExternalNote:
    """The outcome of a task that raised, exceeded its time limit, or whose process died.

    Args:
        fleet: the fleet that keeps the record.
        run_id: the run.
        error: the exception; restored as its own type where that type is loaded.
        traceback: the remote traceback, for an error from a result backend, which carries none.
        started: unix seconds, if known.
        retries: attempts before this one.
    """
    if isinstance(error, Terminated | TaskRevokedError):
        return revoked(fleet, run_id, str(error))
    if traceback and error.__traceback__ is None:
        error.__cause__ = RemoteTraceback(traceback)
    how, name = AckKind.FAILED, None
    if isinstance(error, TimeLimitExceeded | SoftTimeLimitExceeded):
        name = "TimedOut"
    elif isinstance(error, WorkerLostError):
        how = AckKind.CRASHED
    message = f"{type(error).__name__}: {_text_of(error)}"
    body = serializers.pack_exception(error, fleet.limits)
    return _note(fleet, run_id, how, name, message, body, started, retries)


def revoked(fleet: Fleet, run_id: str, reason: str) -> ExternalNote:
    """The outcome of a task that was revoked, terminated, or expired before it started."""
    if _CELERY_EXPIRED in reason:
        end = ScriptedEnd("expired before it started", Reason.EXPIRED)
    else:
        end = ScriptedEnd(f"Celery gave it up: {reason or 'revoked'}", Reason.CANCELLED)
    return ExternalNote(run_id, AckKind.CANCELLED, end.pack(), fleet.broker.ttl_ms)


def is_replaced(error: Any) -> bool:
    """Whether this Ignore comes from ``self.replace``: another task goes on under the same id."""
    return isinstance(error, Ignore) and error.args[:1] == (_REPLACED,)


def ignored(fleet: Fleet, task: Any, run_id: str, error: Any) -> ExternalNote:
    """The outcome of a task that raised Ignore or Reject: what it stored in its result backend before, if anything."""
    with suppress(Exception):  # whatever the backend raises; most cannot be read here
        meta = {} if isinstance(task.backend, RPCBackend) else task.backend.get_task_meta(run_id, cache=False)
        if meta.get("status") == SUCCESS:
            return completed(fleet, run_id, meta.get("result"))
        if meta.get("status") == FAILURE and isinstance(meta.get("result"), BaseException):
            return failed(fleet, run_id, meta["result"], meta.get("traceback"))
    return revoked(fleet, run_id, f"the task raised {_exception_text(error)}")


def _exception_text(error: Any) -> str:
    if isinstance(error, Reject):
        return f"Reject({error.reason!r})" if error.reason is not None else "Reject"
    text = _text_of(error) if isinstance(error, BaseException) else ""
    return f"{type(error).__name__}({text!r})" if text else "Ignore"


def _note(
    fleet: Fleet,
    run_id: str,
    how: str,
    name: str | None,
    message: str | None,
    body: bytes,
    started: float | None,
    retries: int,
) -> ExternalNote:
    now = time.time()
    outcome = pack_outcome(name, message, started or now, now, retries + 1, body)
    return ExternalNote(run_id, how, enclosed(run_id, how, outcome), fleet.broker.ttl_ms, retries)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it has no text: its __str__ failed)"
