"""What the workers of a Celery application tell the store of runs that were sent by ``celery_task``.

Celery's own signals are listened to; the tasks are not touched. A message of ours is known by its header. An end is
told before Celery confirms a message that is confirmed late, and kept here while the store is away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Final
from uuid import UUID

from celery import signals

from brokers.redis import away
from orchestrator.contrib.celery.ends import completed, failed, revoked
from orchestrator.contrib.celery.sending import HEADER
from orchestrator.errors import BrokerError
from orchestrator.fleet import current_fleet

log = logging.getLogger("orchestrator.celery")
TRY_AGAIN_SECONDS: Final = 0.5
GOOD_BYE_SECONDS: Final = 5.0
MOST_KEPT: Final = 100_000
_STARTED: Final = "orchestrator_started"


def report_ends() -> None:
    """Have the workers of this process's Celery application report the ends of runs that ``celery_task`` sent.

    Call it once in the application's module. ``ORCHESTRATOR_REDIS_URL`` (and the namespace and keys, if they are set)
    must say the same there as where the calls are made. Tasks that were sent otherwise cost nothing.
    """
    for signal, receiver in (
        (signals.task_prerun, _on_prerun),
        (signals.task_success, _on_success),
        (signals.task_failure, _on_failure),
        (signals.task_retry, _on_retry),
        (signals.task_revoked, _on_revoked),
        (signals.worker_process_shutdown, _on_shutdown),
        (signals.worker_shutdown, _on_shutdown),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"orchestrator-{receiver.__name__}")


def _is_ours(task_id: str, request: Any) -> bool:
    """Whether a run of this fleet is meant.

    A task that replaces itself (``self.replace``) loses its headers and keeps its id, and some signals come without the
    request: then the id must do. Celery's own are UUIDs of version 4.
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
        away.note(current_fleet().broker, [away.AwayNote(task_id, away.BEGUN, retries=request.retries or 0)])
    except BrokerError as error:
        log.debug("the start of %s could not be told: %s", task_id, error)  # its end will be


def _on_success(sender: Any = None, result: Any = None, **_: Any) -> None:
    request = getattr(sender, "request", None)
    if request is not None and _is_ours(request.id, request):
        started = getattr(request, _STARTED, None)
        _ends.tell(completed(current_fleet(), request.id, result, started, request.retries or 0))


def _on_failure(sender: Any = None, task_id: str = "", exception: Any = None, **_: Any) -> None:
    request = getattr(sender, "request", None)
    if not _is_ours(task_id, request):
        return
    known: Any = request if getattr(request, "id", None) == task_id else None
    started, retries = getattr(known, _STARTED, None), getattr(known, "retries", 0) or 0
    _ends.tell(failed(current_fleet(), task_id, exception, started=started, retries=retries))


def _on_retry(sender: Any = None, request: Any = None, **_: Any) -> None:
    if request is not None and _is_ours(request.id, request):
        _ends.tell(away.AwayNote(request.id, away.AGAIN, retries=(request.retries or 0) + 1))


def _on_revoked(sender: Any = None, request: Any = None, expired: bool = False, **more: Any) -> None:
    if request is not None and _is_ours(request.id, request):
        reason = "expired" if expired else "terminated" if more.get("terminated") else "revoked"
        _ends.tell(revoked(current_fleet(), request.id, reason))


def _on_shutdown(**_: Any) -> None:
    _ends.good_bye()


class Ends:
    """Tells ends at once if it can, else as soon as the store is back; in order."""

    def __init__(self) -> None:
        self._kept: list[away.AwayNote] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, note: away.AwayNote) -> None:
        """Never raises: the task must not suffer."""
        with self._lock:
            self._kept.append(note)
            if len(self._kept) > MOST_KEPT:
                log.error("the end of run %s is not told: too many wait for the store", self._kept.pop(0).run_id)
            if self._thread is not None or self._told():
                return
            self._thread = threading.Thread(target=self._try_again, name="celery-ends", daemon=True)
            self._thread.start()

    def good_bye(self) -> None:
        """The process ends: a last attempt."""
        deadline = time.monotonic() + GOOD_BYE_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                if not self._kept or self._told():
                    return
            time.sleep(TRY_AGAIN_SECONDS)
        log.error("%d ends of runs could not be told: the store does not answer", len(self._kept))

    def _told(self) -> bool:
        try:
            away.note(current_fleet().broker, self._kept)
        except BrokerError as error:
            log.warning("%d ends of Celery tasks wait for the store: %s", len(self._kept), error)
            return False
        self._kept.clear()
        return True

    def _try_again(self) -> None:
        while True:
            time.sleep(TRY_AGAIN_SECONDS)
            with self._lock:
                if not self._kept or self._told():
                    self._thread = None
                    return


_ends = Ends()


def _forget_after_fork() -> None:
    global _ends
    _ends = Ends()


os.register_at_fork(after_in_child=_forget_after_fork)
