"""Gives the calls of dead children to other workers, with the reason, as soon as the server can be told."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from brokers.contract import KillVerdict
from orchestrator.chores import Chore
from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet

log = logging.getLogger("orchestrator.worker")


class Death(NamedTuple):
    """A consumer that is gone, and what is known of its calls."""

    consumer: str
    running: Mapping[str, str]  # run id -> reason, charged with a crash
    verdicts: Mapping[str, KillVerdict]  # run id -> what becomes of a call for which it was killed
    charge_noted: bool


class Undertaker(Chore):
    """Woken by each death. While the server is away it keeps the deaths: only here it is known who ran what."""

    name = "undertaker"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._deaths: list[Death] = []
        self._lock = threading.Lock()

    def report(self, death: Death) -> None:
        """This consumer is dead: told to the server at once, or as soon as it is back."""
        for run_id, verdict in death.verdicts.items():
            self._fleet.logs.add(run_id, "WARNING", verdict.text.replace("\0", "\n"), time.time())
        with self._lock:
            self._deaths.append(death)
        self.wake()

    def run_once(self) -> float:
        with self._lock:  # one at a time: the end of the worker waits for the thread's attempt
            while self._deaths:
                self._take_over(self._deaths[0])
                del self._deaths[0]
        return 3600.0

    def _take_over(self, death: Death) -> None:
        settings = self._fleet.settings
        if self._fleet.logs.waiting:
            self._fleet.logs.flush()  # before the ends: who sees an end finds the lines
        moved = self._fleet.broker.take_over(
            death.consumer,
            running=death.running,
            verdicts=death.verdicts,
            charge_noted=death.charge_noted,
            max_deliveries=settings.max_deliveries,
            dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
        )
        if moved:
            log.info("%d calls of %s taken over", moved, death.consumer)

    def finish(self, seconds: float) -> None:
        """Tell what has not been told, trying for so long."""
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
