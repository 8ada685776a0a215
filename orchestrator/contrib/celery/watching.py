"""The result backend of a Celery application, watched by one thread for all runs that this process has sent.

Redis and RPC backends push: the thread subscribes and listens. Others are asked now and then, for all open runs at
once.
What is heard is settled in the store, where every waiter and every dependant finds it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from celery.backends.rpc import RPCBackend
from celery.states import FAILURE, READY_STATES, REVOKED, SUCCESS

from brokers.contract import SETTLED, Status
from brokers.redis import away
from orchestrator.contrib.celery.ends import completed, failed, revoked
from orchestrator.errors import BrokerError, BrokerUnavailable
from orchestrator.fleet import Fleet

log = logging.getLogger("orchestrator.celery")
HEAR_SECONDS: Final = 0.05  # how long a new run may wait until it is subscribed to
LOOK_AGAIN_SECONDS: Final = 2.0  # a pushed result may be lost; all that is open is asked for
TIDY_SECONDS: Final = 10.0
FASTEST_POLL_SECONDS: Final = 0.02
SLOWEST_POLL_SECONDS: Final = 0.5
MOST_AT_ONCE: Final = 500
PAUSE_SECONDS: Final = 0.5


class Ended(NamedTuple):
    """What a result backend tells of a task."""

    run_id: str
    status: str
    result: Any
    traceback: str | None


class ResultWatch:
    """Watches one application's backend.

    Args:
        app: the application.
        fleet: where the ends are settled.
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
        self._poll_seconds = FASTEST_POLL_SECONDS
        self._looked_at = self._tidied_at = 0.0

    def add(self, run_ids: Sequence[str]) -> None:
        """Watch these too."""
        with self._changed:
            self._new += run_ids
            self._start()
            self._changed.notify_all()

    def reply_to(self, timeout_seconds: float) -> str | None:
        """Where results have to be sent that come as messages (RPC); ``None`` for other backends.

        Raises:
            BrokerUnavailable: nobody listens there yet.
        """
        if not str(self._app.conf.result_backend).startswith("rpc"):
            return None
        with self._changed:
            self._start()
        if not self._listening.wait(timeout_seconds):
            raise BrokerUnavailable("the Celery application's broker does not answer: nobody could hear the result")
        return self._reply_to

    # -- the thread ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="celery-results", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Until the backend fails; a new thread then begins with a backend of its own (Celery has one per thread)."""
        try:
            backend = self._app.backend
            if isinstance(backend, RPCBackend):
                backend.result_consumer.consume_from("")  # one queue for all
                self._reply_to = self._app.thread_oid
            self._listening.set()
            while True:
                self._wait_for_work()
                self._take_new(backend)
                self._hear(backend)
                self._settle()
                self._tidy()
        except Exception as error:  # whatever the backend raises
            log.warning("Celery's result backend cannot be watched, and is tried again: %r", error)
        self._listening.clear()
        time.sleep(PAUSE_SECONDS)
        with self._changed:
            self._new, self._open = [*self._open, *self._new], {}
            self._thread = None
            self._start()

    def _wait_for_work(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._new or self._open or self._ended)

    def _take_new(self, backend: Any) -> None:
        with self._changed:
            new, self._new = [run_id for run_id in self._new if run_id not in self._open], []
        if not new:
            return
        for run_id in new:
            result = self._open[run_id] = self._app.AsyncResult(run_id, backend=backend)
            if backend.is_async:
                result.then(self._note_result)
        self._poll_seconds = FASTEST_POLL_SECONDS
        self._ask(backend, new)  # they may have ended before anyone listened

    def _hear(self, backend: Any) -> None:
        if not self._open:
            return
        if backend.is_async:
            seconds = HEAR_SECONDS
            for _ in range(MOST_AT_ONCE):  # what has come together is settled together
                before = len(self._ended)
                try:
                    backend.result_consumer.drain_events(timeout=seconds)
                except TimeoutError:
                    break
                if len(self._ended) == before:
                    break
                seconds = 0.001
            if time.monotonic() - self._looked_at > LOOK_AGAIN_SECONDS:
                self._ask(backend, list(self._open))
        else:
            with self._changed:
                self._changed.wait_for(lambda: self._new, self._poll_seconds)
            self._poll_seconds = min(SLOWEST_POLL_SECONDS, 1.5 * self._poll_seconds)
            self._ask(backend, list(self._open))

    def _ask(self, backend: Any, run_ids: Sequence[str]) -> None:
        """What the backend holds for these."""
        self._looked_at = time.monotonic()
        for run_id, meta in self._metas(backend, run_ids):
            if meta.get("status") not in READY_STATES:
                continue
            if backend.is_async:
                backend.result_consumer.on_state_change({"task_id": run_id, **meta}, None)
            else:
                self._note(Ended(run_id, meta["status"], meta.get("result"), meta.get("traceback")))

    def _metas(self, backend: Any, run_ids: Sequence[str]) -> Iterable[tuple[str, dict[str, Any]]]:
        if isinstance(backend, RPCBackend):
            return  # messages wait in the queue
        if hasattr(backend, "get_many"):
            for first in range(0, len(run_ids), MOST_AT_ONCE):
                some = set(run_ids[first : first + MOST_AT_ONCE])
                yield from backend.get_many(some, interval=0.0, max_iterations=1)
        else:
            for run_id in run_ids:
                yield run_id, backend.get_task_meta(run_id, cache=False)

    def _note_result(self, result: Any) -> None:
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
            away.note(self._fleet.broker, [self._note_for(end) for end in ended])
        except BrokerError as error:
            log.debug("%d ends of Celery tasks wait for the store: %s", len(ended), error)
            time.sleep(PAUSE_SECONDS)
            return
        del self._ended[: len(ended)]

    def _note_for(self, ended: Ended) -> away.AwayNote:
        if ended.status == SUCCESS:
            return completed(self._fleet, ended.run_id, ended.result)
        if ended.status == REVOKED:
            return revoked(self._fleet, ended.run_id, str(ended.result or ""))
        assert ended.status == FAILURE or isinstance(ended.result, BaseException), ended
        return failed(self._fleet, ended.run_id, ended.result, ended.traceback)

    def _tidy(self) -> None:
        """Runs whose end came another way (a worker's report, cancelled) are not watched any longer."""
        if time.monotonic() - self._tidied_at < TIDY_SECONDS or not self._open:
            return
        self._tidied_at = time.monotonic()
        try:
            records = self._fleet.broker.read(list(self._open))
        except BrokerError:
            return
        for record in records:
            if record.status in SETTLED or record.status == Status.UNKNOWN:
                self._open.pop(record.run_id, None)
