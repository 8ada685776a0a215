"""Kills children for calls that do not stop: past their hard deadline, or asked to stop and deaf to it.

The child has tried first (an exception inside the task). What is left sits in C code, or refuses; the process is the
smallest thing that can be stopped then. The call gets its verdict, the child's other calls go to other workers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.chores import Chore
from task_workers.child_handle import ChildHandle
from task_workers.slot_table import Row

log = logging.getLogger("orchestrator.worker")
LOOK_SECONDS: Final = 0.2


class Killer(Chore):
    """Looks at the tables of the children a few times a second.

    Args:
        children: those that live.
        grace_seconds: from asking a call to stop until its process is killed.
    """

    name = "killer"

    def __init__(self, children: Callable[[], Iterable[ChildHandle]], grace_seconds: float) -> None:
        super().__init__()
        self._children, self._grace = children, grace_seconds
        self._cancelled: dict[str, float] = {}  # run id -> when it was asked to stop
        self._lock = threading.Lock()

    def obey(self, orders: list[tuple[str, str]]) -> None:
        """Orders from the inbox. The child got the same: here only the time begins to run."""
        now = time.monotonic()
        with self._lock:
            for what, run_id in orders:
                if what == "cancel":
                    self._cancelled.setdefault(run_id, now)

    def run_once(self) -> float:
        now = time.monotonic()
        with self._lock:
            due = {run_id for run_id, since in self._cancelled.items() if now - since >= self._grace}
            for run_id in due:
                del self._cancelled[run_id]
        for child in self._children():
            doomed = [row for row in child.table.rows() if row.run_id in due or _late(row, now)]
            # Twice: a row may be read while it is being written, and a kill cannot be taken back.
            still = {row.run_id: row for row in child.table.rows()} if doomed else {}
            verdicts = {
                row.run_id: self._verdict(row, due)
                for row in doomed
                if row.run_id in still and (row.run_id in due or _late(still[row.run_id], now))
            }
            if verdicts:
                for run_id, (_, text) in verdicts.items():
                    log.warning("run %s: %s (child %d, process %d)", run_id, text, child.number, child.pid)
                child.kill(f"killed for {', '.join(verdicts)}", verdicts)
        return LOOK_SECONDS

    def _verdict(self, row: Row, cancelled: set[str]) -> tuple[str, str]:
        if row.run_id in cancelled:
            return "K", f"cancelled; its process was killed after {self._grace:g} s of grace"
        seconds = row.deadline - row.started
        return "F", f"timed out: it still ran after {seconds:.3g} s and did not stop; its process was killed"


def _late(row: Row, now: float) -> bool:
    return 0.0 < row.deadline < now
