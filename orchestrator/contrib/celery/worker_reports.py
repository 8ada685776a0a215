"""Outcomes that the workers of a Celery application report of runs that ``celery_task`` sent.

The reports hang on Celery's own signals; tasks are not touched. A message of ours is recognised by its header. An
outcome is written before Celery acknowledges a message with ``acks_late``, and buffered here while the store is away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Final
from uuid import UUID

from celery import signals
from celery.states import IGNORED, REJECTED

from brokers.records import AGAIN, BEGUN, ExternalNote
from orchestrator.client.fleet import current_fleet
from orchestrator.contrib.celery.outcomes import completed, failed, ignored, is_replaced, revoked
from orchestrator.contrib.celery.publisher import HEADER
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.celery")
RETRY_SECONDS: Final = 0.5
FLUSH_SECONDS: Final = 5.0
MAX_BUFFERED: Final = 100_000
_STARTED: Final = "orchestrator_started"


def report_ends() -> None:
    """Have the workers of this process's Celery application report the outcomes of runs that ``celery_task`` sent.

    Call it once in the application's module. ``ORCHESTRATOR_REDIS_URL`` (and the namespace and keys, if they are set)
    must have the same values there as where the calls are made. Tasks sent any other way cost nothing.
    """
    for signal, receiver in (
        (signals.task_prerun, _on_prerun),
        (signals.task_success, _on_success),
        (signals.task_failure, _on_failure),
        (signals.task_retry, _on_retry),
        (signals.task_revoked, _on_revoked),
        (signals.task_postrun, _on_postrun),
        (signals.worker_process_shutdown, _on_shutdown),
        (signals.worker_shutdown, _on_shutdown),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"orchestrator-{receiver.__name__}")


def _is_ours(task_id: str, request: Any) -> bool:
    """Whether the task is a run of this fleet.

    A task that replaces itself (``self.replace``) loses its headers and keeps its id, and some signals come without the
    request: then the id decides. Celery's own ids are UUIDs of version 4.
    """
    if request is not None and getattr(request, "id", None) == task_id:
        namespace = getattr(request, HEADER, None)
        if namespace is not None:
            return bool(namespace == current_fleet().settings.namespace)
    try:
        return UUID(task_id).version == 7
    except (ValueError, TypeError, AttributeError):
        return False


def _on_prerun(sender: Any = None, task_id: str = "", task: Any = None, **_: Any) -> None:
    request = getattr(task, "request", None)
    if request is None or not _is_ours(task_id, request):
        return
    setattr(request, _STARTED, time.time())
    try:
        note = ExternalNote(task_id, BEGUN, retries=request.retries or 0)
        current_fleet().broker.external_runs.note([note])
    except BrokerError as error:
        log.debug("could not record the start of %s: %s", task_id, error)  # its outcome will be


def _on_success(sender: Any = None, result: Any = None, **_: Any) -> None:
    request = getattr(sender, "request", None)
    if request is not None and _is_ours(request.id, request):
        started = getattr(request, _STARTED, None)
        _reporter.report(completed(current_fleet(), request.id, result, started, request.retries or 0))


def _on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    request = getattr(sender, "request", None)
    if not _is_ours(task_id, request):
        return
    known: Any = request if getattr(request, "id", None) == task_id else None
    started, retries = getattr(known, _STARTED, None), getattr(known, "retries", 0) or 0
    _reporter.report(failed(current_fleet(), task_id, exception, started=started, retries=retries))


def _on_retry(sender: Any = None, request: Any = None, **_: Any) -> None:
    if request is not None and _is_ours(request.id, request):
        _reporter.report(ExternalNote(request.id, AGAIN, retries=(request.retries or 0) + 1))


def _on_revoked(sender: Any = None, request: Any = None, expired: bool = False, **more: Any) -> None:
    if request is not None and _is_ours(request.id, request):
        reason = "expired" if expired else "terminated" if more.get("terminated") else "revoked"
        _reporter.report(revoked(current_fleet(), request.id, reason))


def _on_postrun(sender: Any = None, task_id: str = "", retval: Any = None, state: str = "", **_: Any) -> None:
    """Report a task that raised Ignore or Reject: Celery reports no outcome, and the run would be Running for ever."""
    if state not in (IGNORED, REJECTED) or not _is_ours(task_id, getattr(sender, "request", None)):
        return
    if state == REJECTED and getattr(retval, "requeue", False):
        _reporter.report(ExternalNote(task_id, AGAIN))
    elif not is_replaced(retval):
        _reporter.report(ignored(current_fleet(), sender, task_id, retval))


def _on_shutdown(**_: Any) -> None:
    _reporter.flush()


class OutcomeReporter:
    """Writes outcomes to the store at once if it can, else as soon as the store is back; in order."""

    def __init__(self) -> None:
        self._buffered: list[ExternalNote] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def report(self, note: ExternalNote) -> None:
        """Write an outcome. Never raises: a report must not fail the task."""
        with self._lock:
            self._buffered.append(note)
            if len(self._buffered) > MAX_BUFFERED:
                lost = self._buffered.pop(0).run_id
                log.error("the outcome of run %s is lost: too many outcomes wait for the store", lost)
            if self._thread is not None or self._write():
                return
            self._thread = threading.Thread(target=self._retry_until_written, name="celery-ends", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Write what is buffered before the process exits; gives up after five seconds."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                if not self._buffered or self._write():
                    return
            time.sleep(RETRY_SECONDS)
        log.error("the outcomes of %d runs are lost: the store does not respond", len(self._buffered))

    def _write(self) -> bool:
        try:
            current_fleet().broker.external_runs.note(self._buffered)
        except BrokerError as error:
            log.warning("the outcomes of %d Celery tasks wait for the store: %s", len(self._buffered), error)
            return False
        self._buffered.clear()
        return True

    def _retry_until_written(self) -> None:
        while True:
            time.sleep(RETRY_SECONDS)
            with self._lock:
                if not self._buffered or self._write():
                    self._thread = None
                    return


_reporter = OutcomeReporter()


def _reset_after_fork() -> None:
    global _reporter
    _reporter = OutcomeReporter()


os.register_at_fork(after_in_child=_reset_after_fork)
