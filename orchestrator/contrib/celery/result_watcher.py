"""One thread that watches the result backend of a Celery application for all runs that this process has sent.

Redis and RPC backends push: the thread subscribes. Others are polled, for all open runs at once. Results are written to
the store, where every waiter and every dependant finds them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from celery.backends.rpc import RPCBackend
from celery.states import FAILURE, READY_STATES, REVOKED, SUCCESS

from brokers.messages import FINAL_STATUSES, Status
from brokers.records import ExternalNote
from orchestrator.client.fleet import Fleet
from orchestrator.contrib.celery.outcomes import completed, failed, revoked
from orchestrator.errors import BrokerError, BrokerUnavailable

log = logging.getLogger("orchestrator.celery")
DRAIN_SECONDS: Final = 0.05  # how long a new run may wait until it is subscribed to
REREAD_SECONDS: Final = 2.0  # a pushed result may be lost: all open runs are read again
PRUNE_SECONDS: Final = 10.0
MIN_POLL_SECONDS: Final = 0.02
MAX_POLL_SECONDS: Final = 0.5
BATCH: Final = 500
PAUSE_SECONDS: Final = 0.5


class Ended(NamedTuple):
    """A final result in the backend."""

    run_id: str
    status: str
    result: Any
    traceback: str | None


class ResultWatcher:
    """Watches the result backend of one application.

    Args:
        app: the application.
        fleet: the fleet whose store gets the outcomes.
    """

    def __init__(self, app: Any, fleet: Fleet) -> None:
        self._app, self._fleet = app, fleet
        self._changed = threading.Condition()
        self._new: list[str] = []
        self._open: dict[str, Any] = {}  # run id -> AsyncResult, which the backend knows only weakly
        self._ended: list[Ended] = []
        self._thread: threading.Thread | None = None
        self._listening = threading.Event()
        self._reply_to: str | None = None
        self._poll_seconds = MIN_POLL_SECONDS
        self._read_at = self._pruned_at = 0.0

    def add(self, run_ids: Sequence[str]) -> None:
        """Watch these runs too."""
        with self._changed:
            self._new += run_ids
            self._start()
            self._changed.notify_all()

    def reply_to(self, timeout_seconds: float) -> str | None:
        """The reply queue of a backend that sends results as messages (RPC); ``None`` for other backends.

        Raises:
            BrokerUnavailable: the queue is not being consumed yet.
        """
        if not str(self._app.conf.result_backend).startswith("rpc"):
            return None
        with self._changed:
            self._start()
        if not self._listening.wait(timeout_seconds):
            raise BrokerUnavailable("the Celery application's broker does not answer: the result could not be received")
        return self._reply_to

    # -- the thread ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="celery-results", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Watch until the backend fails; a new thread then starts over with its own (Celery has one per thread)."""
        try:
            backend = self._app.backend
            if isinstance(backend, RPCBackend):
                backend.result_consumer.consume_from("")  # one queue for all
                self._reply_to = self._app.thread_oid
            self._listening.set()
            while True:
                self._wait_for_work()
                self._watch_new(backend)
                self._receive(backend)
                self._settle()
                self._forget_ended()
        except BaseException as error:  # whatever the backend raises
            log.warning("cannot watch Celery's result backend, trying again: %r", error)
        self._listening.clear()
        time.sleep(PAUSE_SECONDS)
        with self._changed:
            self._new, self._open = [*self._open, *self._new], {}
            self._thread = None
            self._start()

    def _wait_for_work(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._new or self._open or self._ended)

    def _watch_new(self, backend: Any) -> None:
        with self._changed:
            new, self._new = [run_id for run_id in self._new if run_id not in self._open], []
        if not new:
            return
        for run_id in new:
            result = self._open[run_id] = self._app.AsyncResult(run_id, backend=backend)
            if backend.is_async:
                result.then(self._collect_result)
        self._poll_seconds = MIN_POLL_SECONDS
        self._read_results(backend, new)  # they may have ended before the subscription

    def _receive(self, backend: Any) -> None:
        if not self._open:
            return
        if backend.is_async:
            seconds = DRAIN_SECONDS
            for _ in range(BATCH):  # results that arrive together are written together
                before = len(self._ended)
                try:
                    backend.result_consumer.drain_events(timeout=seconds)
                except TimeoutError:
                    break
                if len(self._ended) == before:
                    break
                seconds = 0.001
            if time.monotonic() - self._read_at > REREAD_SECONDS:
                self._read_results(backend, list(self._open))
        else:
            with self._changed:
                self._changed.wait_for(lambda: self._new, self._poll_seconds)
            self._poll_seconds = min(MAX_POLL_SECONDS, 1.5 * self._poll_seconds)
            self._read_results(backend, list(self._open))

    def _read_results(self, backend: Any, run_ids: Sequence[str]) -> None:
        """Read the stored results of these runs."""
        self._read_at = time.monotonic()
        for run_id, meta in self._metas(backend, run_ids):
            if meta.get("status") not in READY_STATES:
                continue
            if backend.is_async:
                backend.result_consumer.on_state_change({"task_id": run_id, **meta}, None)
            else:
                self._note(Ended(run_id, meta["status"], meta.get("result"), meta.get("traceback")))

    def _metas(self, backend: Any, run_ids: Sequence[str]) -> Iterable[tuple[str, dict[str, Any]]]:
        if isinstance(backend, RPCBackend):
            return  # results are messages, which wait in the queue
        if hasattr(backend, "get_many"):
            for first in range(0, len(run_ids), BATCH):
                some = set(run_ids[first : first + BATCH])
                yield from backend.get_many(some, interval=0.0, max_iterations=1)
        else:
            for run_id in run_ids:
                yield run_id, backend.get_task_meta(run_id, cache=False)

    def _collect_result(self, result: Any) -> None:
        self._note(Ended(result.id, result.state, result.result, result.traceback))

    def _note(self, ended: Ended) -> None:
        if self._open.pop(ended.run_id, None) is not None:
            self._ended.append(ended)

    # -- the store -----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        ended = list(self._ended)
        if not ended:
            return
        try:
            self._fleet.broker.external_runs.note([self._outcome_of(end) for end in ended])
        except BrokerError as error:
            log.debug("the outcomes of %d Celery tasks wait for the store: %s", len(ended), error)
            time.sleep(PAUSE_SECONDS)
            return
        del self._ended[: len(ended)]

    def _outcome_of(self, ended: Ended) -> ExternalNote:
        if ended.status == SUCCESS:
            return completed(self._fleet, ended.run_id, ended.result)
        if ended.status == REVOKED:
            return revoked(self._fleet, ended.run_id, str(ended.result or ""))
        assert ended.status == FAILURE or isinstance(ended.result, BaseException), ended
        return failed(self._fleet, ended.run_id, ended.result, ended.traceback)

    def _forget_ended(self) -> None:
        """Stop watching runs that ended another way: reported by a worker, or cancelled."""
        if time.monotonic() - self._pruned_at < PRUNE_SECONDS or not self._open:
            return
        self._pruned_at = time.monotonic()
        try:
            records = self._fleet.broker.records.read(list(self._open))
        except BrokerError:
            return
        for record in records:
            if record.status in FINAL_STATUSES or record.status == Status.UNKNOWN:
                self._open.pop(record.run_id, None)
