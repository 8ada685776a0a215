"""The processes of a Celery pool, as the killer and crash recovery need them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Set
from typing import Any, Final

from brokers.messages import KillVerdict
from orchestrator.maintenance import Chore
from orchestrator.runnables import registry
from orchestrator.slots.description import describe, process_facts
from task_workers.celery.places import Place
from task_workers.celery.process import WorkerFacts
from task_workers.supervisor.child_process import explained
from task_workers.supervisor.crash_recovery import CrashRecovery, exit_of

log = logging.getLogger("orchestrator.worker")
POLL_SECONDS: Final = 0.2


class NoRows:
    """The table of a child that runs nothing of ours, or found no place."""

    def rows(self) -> list[Any]:
        return []

    def close(self) -> None:
        return None


class PoolChild:
    """One child of the pool.

    Args:
        process: billiard's; ``None`` for the worker's own process, which is never killed.
        pid: its process id.
        facts: its worker's.
    """

    def __init__(self, process: Any, pid: int, facts: WorkerFacts) -> None:
        self.process, self.pid, self.number = process, pid, pid
        self.consumer = facts.consumer(pid)
        self.killed_because: str | None = None
        self.verdicts: dict[str, KillVerdict] = {}
        self._facts = facts
        self._place: Place | None = None
        self._table: Any = NoRows()

    @property
    def table(self) -> Any:
        """What it runs."""
        if self._place is None and self._facts.places is not None:
            place = self._facts.places.of(self.pid)
            if place is not None:  # in this order: the killer and the watch ask at the same time
                self._table = place.reader()
                self._place = place
        return self._table

    def condemn(self, because: str, verdicts: dict[str, KillVerdict]) -> None:
        """It will be killed: see :meth:`task_workers.supervisor.child_process.ChildHandle.condemn`."""
        self.killed_because = self.killed_because or because
        self.verdicts.update(verdicts)

    def kill(self, because: str) -> None:
        """SIGKILL; Celery starts another one."""
        self.condemn(because, {})
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def last_stacks(self, threads: Set[int]) -> dict[int, str]:
        """The Python stacks of its threads now, by thread: these at least."""
        return {} if self._place is None else self._place.stacks.ask(self.pid, threads, lambda: not self.lives)

    @property
    def lives(self) -> bool:
        """Whether the process is there."""
        return self.process is None or self.process.exitcode is None

    def how_it_ended(self) -> str:
        """For people."""
        code = self.process.exitcode if self.process is not None else 0
        return explained(code or 0)

    def close(self) -> None:
        """Give its place free."""
        self._table.close()
        if self._facts.places is not None:
            self._facts.places.free(self.pid)


class PoolWatch(Chore):
    """Knows the children of the pool, and reports deaths: their calls are elsewhere in a moment.

    Args:
        worker: Celery's.
        facts: what its processes have in common.
        crash_recovery: gets the dead.
    """

    name = "pool-watch"

    def __init__(self, worker: Any, facts: WorkerFacts, crash_recovery: CrashRecovery) -> None:
        super().__init__()
        self._worker, self._facts, self._crash_recovery = worker, facts, crash_recovery
        self._children: dict[int, PoolChild] = {}
        self.handed_back = False
        self._on_up: Any = None
        self._lock = threading.Lock()

    def children(self) -> list[PoolChild]:
        """Those that live."""
        with self._lock:
            return list(self._children.values())

    def kill_all(self, because: str) -> None:
        """Their calls are handed back, uncharged; the worker's exit status is 1 then."""
        for child in self.children():
            log.warning("process %d is killed: %s; its calls are handed back", child.pid, because)
            self.handed_back = self.handed_back or bool(child.table.rows())
            child.kill(because)
        self.report_status()

    def report_status(self) -> None:
        """What the worker's process ends with, if it was not able to finish everything."""
        if self.handed_back:
            self._worker.exitcode = 1

    def living(self) -> dict[str, dict[str, str]]:
        """For the heartbeat: the live children with their descriptions."""
        facts = describe(self._facts.queues, self._facts.threads)
        facts |= {"name": self._worker.hostname, "tasks": ",".join(registry.keys()), "engine": "celery"}
        facts |= {"inbox": self._facts.worker_id}
        return {
            child.consumer: {**facts, **process_facts(child.pid), "pid": str(child.pid)} for child in self.children()
        }

    def run_once(self) -> float:
        known = self.children()  # before the next line: one that begins after it is not gone
        now = dict(self._processes())
        for pid, process in now.items():
            self._know(pid, process)
        gone = [child for child in known if child.pid not in now or not child.lives]
        with self._lock:  # the end of the worker looks, too
            reaped = [child for child in gone if self._children.pop(child.pid, None) is not None]
        for child in reaped:
            self._reap(child)
        return POLL_SECONDS

    def _know(self, pid: int, process: Any) -> None:
        with self._lock:
            if pid not in self._children:
                self._children[pid] = PoolChild(process, pid, self._facts)

    def _subscribe_to_starts(self, pool: Any) -> None:
        """Learn of children when they begin: one may die before the next look, and nobody would know of what.

        Celery sets the pool's callback again for each connection to its broker.
        """
        before = pool.on_process_up
        if before is None or before is self._on_up:
            return

        def on_up(process: Any) -> None:
            self._know(process.pid, process)
            before(process)

        self._on_up = pool.on_process_up = on_up

    def _processes(self) -> list[tuple[int, Any]]:
        pool = getattr(self._worker.pool, "_pool", None)
        processes = getattr(pool, "_pool", None) if self._facts.places is not None else None
        if processes is None:  # the pool has ended, or has no processes
            return [] if self._facts.places is not None else [(os.getpid(), None)]
        self._subscribe_to_starts(pool)
        return [(process.pid, process) for process in list(processes) if process.pid is not None]

    def _reap(self, child: PoolChild) -> None:
        death, _ = exit_of(child, charged=child.killed_because is None and bool(child.table.rows()))
        if death.running:
            log.error("process %d: %s while it ran %s", child.pid, child.how_it_ended(), ", ".join(death.running))
        self._crash_recovery.report(death)
        child.close()
