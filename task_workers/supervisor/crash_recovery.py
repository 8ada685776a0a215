"""Gives the calls of dead children to other workers, with the reason, as soon as the server answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from brokers.messages import KillVerdict
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.maintenance import Chore
from task_workers.supervisor.managed_process import ManagedProcess

log = logging.getLogger("orchestrator.worker")


class ChildExit(NamedTuple):
    """A consumer that is gone, and what is known of its calls."""

    consumer: str
    running: Mapping[str, str]  # run id -> reason, charged with a crash
    verdicts: Mapping[str, KillVerdict]  # run id -> what becomes of a call for which it was killed
    charge_running: bool


def exit_of(process: ManagedProcess, charged: bool) -> tuple[ChildExit, bool]:
    """What is to be reported of a process that is dead, and whether any call ran in it.

    Args:
        process: the dead one.
        charged: whether the calls that ran are charged for its death.
    """
    rows = process.table.rows()
    how = process.how_it_ended()
    running = {row.run_id: how for row in rows} if charged else {}
    return ChildExit(process.consumer, running, process.verdicts, charged), bool(rows)


class CrashRecovery(Chore):
    """Woken by each death. While the server is away it keeps the deaths: only here it is known who ran what."""

    name = "crash_recovery"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._deaths: list[ChildExit] = []
        self._lock = threading.Lock()

    def report(self, death: ChildExit) -> None:
        """This consumer is dead: the server gets to know at once, or as soon as it is back."""
        for run_id, verdict in death.verdicts.items():
            self._fleet.logs.add(run_id, "WARNING", "\n".join(filter(None, (verdict.text, verdict.stack))), time.time())
        with self._lock:
            self._deaths.append(death)
        self.wake()

    def run_once(self) -> float:
        with self._lock:  # one at a time: the end of the worker waits for the thread's attempt
            while self._deaths:
                self._take_over(self._deaths[0])
                del self._deaths[0]
        return 3600.0

    def _take_over(self, death: ChildExit) -> None:
        settings = self._fleet.settings
        if self._fleet.logs.waiting:
            self._fleet.logs.flush()  # before the ends: who sees an end finds the lines
        moved = self._fleet.broker.deliveries.take_over(
            death.consumer,
            running=death.running,
            verdicts=death.verdicts,
            charge_running=death.charge_running,
            max_deliveries=settings.max_deliveries,
            dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
        )
        if moved:
            log.info("%d calls of %s taken over", moved, death.consumer)

    def finish(self, seconds: float) -> None:
        """Report what was not reported, for at most so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.run_once()
                return
            except BrokerError as error:
                if time.monotonic() > deadline:
                    log.warning(
                        "%d dead consumers could not be reported (%s): their lease ends soon", len(self._deaths), error
                    )
                    return
                threading.Event().wait(0.2)
