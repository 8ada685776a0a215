"""Takes over the calls of consumers whose lease has run out."""

from __future__ import annotations

import logging
import threading

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore

log = logging.getLogger("orchestrator.chores")


class Rescue(Chore):
    """Woken with names of the dead; any process may do it, and doing it twice changes nothing."""

    name = "rescue"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        self._dead: set[str] = set()
        self._lock = threading.Lock()

    def take_over(self, consumers: list[str]) -> None:
        """These are dead."""
        with self._lock:
            self._dead.update(consumers)
        self.wake()

    def run_once(self) -> float:
        with self._lock:
            dead = list(self._dead)
        settings = self._fleet.settings
        for consumer in dead:
            moved = self._fleet.broker.deliveries.take_over(
                consumer,
                max_deliveries=settings.max_deliveries,
                dead_letter_ttl_seconds=settings.dead_letter_ttl_seconds,
            )
            if moved:
                log.warning(
                    "worker %s sent no heartbeat for %g s: %d calls taken over", consumer, settings.lease_seconds, moved
                )
            with self._lock:
                self._dead.discard(consumer)
        return 3600.0
