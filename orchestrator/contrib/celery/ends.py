"""How a Celery task ended, as an outcome in our records."""

from __future__ import annotations

import time
from typing import Any, Final

from billiard.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import TaskRevokedError

from brokers.contract import Ending
from brokers.redis.away import AwayNote
from orchestrator import serializers
from orchestrator.errors import PayloadTooLarge, RemoteTraceback, SerializationError
from orchestrator.fleet import Fleet
from orchestrator.outcomes import enclosed, pack_outcome, result_context

_EXPIRED: Final = "expired before it started"


def completed(fleet: Fleet, run_id: str, value: Any, started: float | None = None, retries: int = 0) -> AwayNote:
    """The task returned. A result that our serializers cannot keep fails the run, as on our own workers."""
    try:
        body = serializers.pack_value(
            value, context=lambda: result_context(run_id), limits=fleet.limits, serializer="msgpack", enclosed=True
        )
    except (SerializationError, PayloadTooLarge) as error:
        return failed(fleet, run_id, error, started=started, retries=retries)
    return _note(fleet, run_id, Ending.COMPLETED, None, None, body, started, retries)


def failed(
    fleet: Fleet,
    run_id: str,
    error: BaseException,
    traceback: str | None = None,
    started: float | None = None,
    retries: int = 0,
) -> AwayNote:
    """The task raised, ran longer than its time limit, or its process died.

    Args:
        fleet: whose record.
        run_id: of the run.
        error: what it raised; as its own type if that is loaded where the result is read.
        traceback: the remote one, for an error that has come from a result backend and has none.
        started: unix seconds, if known.
        retries: attempts before this one.
    """
    if isinstance(error, Terminated | TaskRevokedError):
        return revoked(fleet, run_id, str(error))
    if traceback and error.__traceback__ is None:
        error.__cause__ = RemoteTraceback(traceback)
    how, name = Ending.FAILED, None
    if isinstance(error, TimeLimitExceeded | SoftTimeLimitExceeded):
        name = "TimedOut"
    elif isinstance(error, WorkerLostError):
        how = Ending.CRASHED
    message = f"{type(error).__name__}: {_text_of(error)}"
    body = serializers.pack_exception(error, fleet.limits)
    return _note(fleet, run_id, how, name, message, body, started, retries)


def revoked(fleet: Fleet, run_id: str, reason: str) -> AwayNote:
    """Celery did not run it, or stopped it, on someone's order or because it had expired."""
    text = _EXPIRED if "expired" in reason else f"Celery gave it up: {reason or 'revoked'}"
    return AwayNote(run_id, Ending.CANCELLED, b"\0" + text.encode("utf-8", "replace"), fleet.broker.ttl_ms)


def _note(
    fleet: Fleet,
    run_id: str,
    how: str,
    name: str | None,
    message: str | None,
    body: bytes,
    started: float | None,
    retries: int,
) -> AwayNote:
    now = time.time()
    outcome = pack_outcome(name, message, started or now, now, retries + 1, body)
    return AwayNote(run_id, how, enclosed(run_id, how, outcome), fleet.broker.ttl_ms, retries)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it has no text: its __str__ failed)"
