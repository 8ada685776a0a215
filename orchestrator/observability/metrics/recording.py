"""Counts what happens in this process, per task and queue. One listener of events; nothing when it is not started."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import Final

from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun
from orchestrator.observability.events import listen
from orchestrator.observability.metrics.cells import (
    CANCELLED,
    DURATION,
    FAILED,
    REDELIVERED,
    RETRIED,
    SECONDS,
    SUCCEEDED,
    WAIT,
    CellWriter,
)
from orchestrator.states import CANCELLED as CANCELLED_TYPE
from orchestrator.states import COMPLETED

PRIVATE: Final = "(private)"  # queues of processes: their names are not kept apart, there would be no end of them


class CallRecorder:
    """Listens to the runs of this process.

    Args:
        fd: of the shared memory, see :mod:`orchestrator.observability.metrics.cells`.
    """

    def __init__(self, fd: int) -> None:
        self._writer = CellWriter(fd)
        self._cells = self._writer.cells
        self._blocks: dict[tuple[str, str], int] = {}  # task and route
        self._lock = threading.Lock()

    def listen(self) -> None:
        """From now on."""
        listen("run.started", self.started)
        listen("run.ended", self.ended)

    def started(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has started: it has waited since its queue entry was written, by the server's clock."""
        route, _, entry = attempt.ticket.partition(" ")
        if not entry:
            return
        waited = time.time() - int(entry[:13]) * 0.001  # milliseconds have 13 digits until the year 2286
        if waited < 0.0:
            waited = 0.0
        bucket = bisect_left(SECONDS, waited)
        key = (attempt.task.task_key, route)
        cells = self._cells
        with self._lock:
            at = self._blocks.get(key) or self._block(*key)
            cells[at] += 1.0  # STARTED is the first
            cells[at + WAIT] += waited
            cells[at + WAIT + 1 + bucket] += 1.0
            if attempt.deliveries > 1:
                cells[at + REDELIVERED] += 1.0
            if attempt.task.isasync:
                self._writer.note_loop(threading.get_ident())
        attempt.counted_at = at

    def ended(self, attempt: Attempt, verdict: Verdict | None, seconds: float) -> None:
        """An attempt has ended."""
        at = attempt.counted_at
        if not at or type(verdict) is WaitForRun:
            return
        which, bucket = _counter_for(verdict), bisect_left(SECONDS, seconds)
        cells = self._cells
        with self._lock:
            cells[at + which] += 1.0
            cells[at + DURATION] += seconds
            cells[at + DURATION + 1 + bucket] += 1.0

    def _block(self, task: str, route: str) -> int:
        queue = PRIVATE if route[:1] == "~" else route[:-3]
        at = self._writer.block(task, queue)
        if len(self._blocks) < 10_000:
            self._blocks[(task, route)] = at
        return at


def _counter_for(verdict: Verdict | None) -> int:
    if type(verdict) is Retry:
        return RETRIED
    kind = getattr(verdict, "type", None)
    if kind is COMPLETED:
        return SUCCEEDED
    return CANCELLED if kind is CANCELLED_TYPE else FAILED
