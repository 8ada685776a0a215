"""Kills children for calls that do not stop: past their hard deadline, or cancelled and still running.

The child has tried first (an exception inside the task). What is left sits in C code, or refuses; the process is the
smallest thing that can be stopped then. The call gets its verdict, the child's other calls go to other workers.

The verdict on a call that is past its deadline: another attempt while its task allows retries, as after any other
timeout, else TimedOut. The child has written down which, because only it knows the task. A task with a
``retry_condition_fn`` is not retried: the condition would have to be asked here, where the app is not loaded. A call
that was cancelled ends Cancelled. Either way the last Python stack of the call is kept with the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from brokers.messages import AckKind, KillVerdict
from brokers.schema import Reason
from orchestrator.maintenance import Chore
from task_workers.supervisor.managed_process import ManagedProcess
from task_workers.supervisor.slot_table import Row

log = logging.getLogger("orchestrator.worker")
POLL_SECONDS: Final = 0.2


class Killer(Chore):
    """Looks at the tables of the children a few times a second.

    Args:
        children: those that live.
        grace_seconds: from asking a call to stop until its process is killed.
    """

    name = "killer"

    def __init__(self, children: Callable[[], Iterable[ManagedProcess]], grace_seconds: float) -> None:
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
            if child.killed_because is not None:
                continue  # it is dying already
            doomed = [row for row in child.table.rows() if row.run_id in due or _late(row, now)]
            # Twice: a row may be read while it is being written, and a kill cannot be taken back.
            still = {row.run_id: row for row in child.table.rows()} if doomed else {}
            rows = [
                still[row.run_id]
                for row in doomed
                if row.run_id in still and (row.run_id in due or _late(still[row.run_id], now))
            ]
            if rows:
                self._kill(child, rows, due)
        return POLL_SECONDS

    def _kill(self, child: ManagedProcess, rows: list[Row], cancelled: set[str]) -> None:
        verdicts = {row.run_id: self._verdict(row, cancelled) for row in rows}
        why = f"killed for {', '.join(verdicts)}"
        child.condemn(why, verdicts)
        try:
            child.condemn(why, self._with_stacks(child, rows, verdicts))
        finally:
            child.kill(why)

    def _with_stacks(
        self, child: ManagedProcess, rows: list[Row], verdicts: dict[str, KillVerdict]
    ) -> dict[str, KillVerdict]:
        stacks, with_stacks = child.last_stacks({row.thread for row in rows}), dict(verdicts)
        for row in rows:
            verdict, stack = verdicts[row.run_id], stacks.get(row.thread, "")
            text = f"{verdict.text} (child {child.number}, process {child.pid})"
            log.warning("run %s: %s%s", row.run_id, text, stack and f"\n{stack}")
            if stack:
                with_stacks[row.run_id] = verdict._replace(stack=stack)
        return with_stacks

    def _verdict(self, row: Row, cancelled: set[str]) -> KillVerdict:
        if row.run_id in cancelled:
            text = f"cancelled; its process was killed after {self._grace:g} s of grace"
            return KillVerdict(AckKind.CANCELLED, text, reason=Reason.KILLED)
        seconds = row.deadline - row.started
        text = f"timed out: it still ran after {seconds:.3g} s and did not stop; its process was killed"
        if row.retry_seconds is None:
            return KillVerdict(AckKind.FAILED, text, reason=Reason.TIMED_OUT)
        text, delay_ms = f"{text}; again in {row.retry_seconds:.3g} s", int(row.retry_seconds * 1000)
        return KillVerdict(AckKind.RETRY, text, delay_ms, Reason.TIMED_OUT)


def _late(row: Row, now: float) -> bool:
    return 0.0 < row.deadline < now
