"""Reports the flow runs of this process to the store: their start, their heartbeats, their end.

One thread, made with the first report, writes everything in order and beats for the runs that go on, as workers beat
for themselves. A run without a heartbeat for a lease was killed with its process: whoever looks first ends it Crashed.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from typing import Final, NamedTuple

from brokers.base import FlowRuns
from brokers.threads import unending
from orchestrator.errors import BrokerRefused, OrchestratorError
from orchestrator.serializers.outcomes import flow_message

log = logging.getLogger("orchestrator.flow_runs")
FLUSH_TIMEOUT_SECONDS: Final = 2.0  # how long a flow that ends waits for its report to be written
MAX_REPORTS: Final = 10_000  # while the store is away; of more, the oldest are dropped
RETRY_SECONDS: Final = 0.5


class Report(NamedTuple):
    """How a flow run stands."""

    flow_run_id: str
    fields: dict[str, str | bytes]
    after_failure: bool


class FlowReports:
    """Reports of one process's flow runs to its store.

    Args:
        store: where they are kept.
        lease_seconds: a flow run without a heartbeat for so long is ended.
        beat_seconds: the seconds between the heartbeats of a run.
    """

    def __init__(self, store: FlowRuns, lease_seconds: float, beat_seconds: float) -> None:
        self._store, self._lease_seconds, self._beat_seconds = store, lease_seconds, beat_seconds
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: list[Report] = []
        self._going_on: dict[str, Report] = {}
        self._is_away = False  # the store did not answer: nobody waits for it
        self._is_writing = False
        self._next_beat = 0.0
        self._thread: threading.Thread | None = None

    def write_soon(self, report: Report) -> None:
        """Have this written soon; never raises, never waits for the store."""
        with self._changed:
            self._waiting.append(report)
            self._drop_oldest()
            if report.after_failure:
                self._going_on[report.flow_run_id] = report
            else:
                self._going_on.pop(report.flow_run_id, None)
            if self._thread is None:
                self._thread = threading.Thread(target=unending(self._run), name="flow-reports", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()

    def flush(self, seconds: float = FLUSH_TIMEOUT_SECONDS) -> None:
        """Wait until all reports are written; no longer than this, and not at all while the store is away."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_away or not (self._waiting or self._is_writing), seconds)

    def close(self) -> None:
        """Write what waits, and end. Flow runs that still go on are not beaten for any more."""
        if os.getpid() != self._pid:  # forked: the thread is not here, and the runs are the parent's
            return
        self.flush()
        with self._changed:
            self._thread = None
            self._changed.notify_all()
        atexit.unregister(self.close)

    def end_silent_runs(self) -> int:
        """End the flow runs without a heartbeat for a lease, Crashed; how many there were.

        Any number of processes may do it: workers now and then, and whoever is about to show flow runs.

        Raises:
            BrokerError: the store does not answer, or refuses.
        """
        _, silent = self._store.beat([], self._lease_seconds)
        return _end(self._store, self._lease_seconds, silent)

    def read(self, flow_run_id: str) -> dict[str, bytes]:
        """The record of a flow run, true as of now: one whose process is gone is ended first. Raises BrokerError."""
        with suppress(BrokerRefused):  # this user of the server may only read
            self.end_silent_runs()
        return self._store.read(flow_run_id)

    def _drop_oldest(self) -> None:
        too_many = len(self._waiting) - MAX_REPORTS
        if too_many > 0:
            del self._waiting[:too_many]
            log.warning("%d reports of flow runs are dropped: the store is away, and there are too many", too_many)

    def _run(self) -> None:
        this_thread = threading.current_thread()
        while True:
            with self._changed:
                if not self._waiting and self._thread is this_thread:
                    self._changed.wait(self._seconds_to_next_beat())
                if self._thread is not this_thread:  # closed; a later report starts another one
                    return
                reports, self._waiting = self._waiting, []
                self._is_writing = bool(reports)
            written = False
            try:
                written = self._write(reports)
            finally:
                with self._changed:
                    self._is_writing, self._is_away = False, not written
                    if not written:
                        self._waiting[:0] = reports
                        self._drop_oldest()
                    self._changed.notify_all()
            if not written:
                time.sleep(RETRY_SECONDS)

    def _seconds_to_next_beat(self) -> float | None:
        return max(0.0, self._next_beat - time.monotonic()) if self._going_on else None

    def _write(self, reports: list[Report]) -> bool:
        """Write these, and beat if it is time; whether the store took them."""
        try:
            if reports:
                self._store.note(reports)
            if self._going_on and time.monotonic() >= self._next_beat:
                self._beat()
        except OrchestratorError as error:
            if not self._is_away:
                names = ", ".join(sorted({str(report.fields.get("name")) for report in reports})[:5])
                log.warning("flow runs%s could not be reported to the store: %s", f" ({names})" if names else "", error)
            return False
        except Exception:
            log.exception("%d reports of flow runs are lost", len(reports))
        return True

    def _beat(self) -> None:
        going_on = dict(self._going_on)
        forgotten, silent = self._store.beat(list(going_on), self._lease_seconds)
        self._next_beat = time.monotonic() + self._beat_seconds
        again = [going_on[run_id] for run_id in forgotten if run_id in self._going_on]
        if again:  # the server was emptied, or this process slept for longer than the lease
            self._store.note(again)
        _end(self._store, self._lease_seconds, silent)


def _end(store: FlowRuns, lease: float, silent: list[str]) -> int:
    text = f"its process sent no heartbeat for {lease:g} s: it was killed, or its machine is gone"
    ended = 0
    for flow_run_id in silent:
        fields: dict[str, str | bytes] = {
            "type": "CRASHED",
            "state": "Crashed",
            "message": flow_message(flow_run_id, text),
            "at": f"{time.time():.3f}",
        }
        if store.end_silent(flow_run_id, lease, fields):
            ended += 1
            log.warning("flow run %s is Crashed: %s", flow_run_id, text)
    return ended


__all__ = ["FlowReports", "Report"]
