"""Writes the events of this process, in order, in one thread that lives while there is something to write.

While the store is away events wait, and nobody for them: an event never breaks what it is about.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import Final

from brokers.base import Events
from brokers.facets.events import StoredEvent
from brokers.threads import unending
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerRefused, OrchestratorError

log = logging.getLogger("orchestrator.events")
FLUSH_SECONDS: Final = 2.0  # how long whoever emits an event waits for it to be written
MOST_WAITING: Final = 10_000  # while the store is away; of more, the oldest are dropped
MOST_AT_ONCE: Final = 1_000
RETRY_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 5.0


class Outbox:
    """Events on their way to a store.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Events) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._waiting: list[StoredEvent] = []
        self._is_writing = False
        self._is_away = False  # the store did not answer: nobody waits for it
        self._is_running = False

    def write_soon(self, event: StoredEvent) -> None:
        """Have this written soon; never raises, never waits."""
        with self._changed:
            self._waiting.append(event)
            too_many = len(self._waiting) - MOST_WAITING
            if too_many > 0:
                del self._waiting[:too_many]
                log.warning("%d events are lost: the store is away, and too many wait for it", too_many)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=unending(self._run), name="events", daemon=True).start()
                atexit.register(self.close)
            self._changed.notify_all()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all is written, no longer than this, and not at all while the store is away; whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_away or not (self._waiting or self._is_writing), seconds)
            return not (self._waiting or self._is_writing)

    def close(self) -> None:
        """At the end of the process: what cannot be written now is lost, with a warning."""
        if not self.flush():
            log.warning("%d events are lost: the store is away, and this process ends", len(self._waiting) or 1)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting), IDLE_SECONDS)
                if not self._waiting:
                    self._is_running = False
                    atexit.unregister(self.close)
                    return
                some = self._waiting[:MOST_AT_ONCE]
                del self._waiting[: len(some)]
                self._is_writing = True
            is_written = False
            try:
                is_written = self._write(some)
            finally:
                with self._changed:
                    self._is_writing, self._is_away = False, not is_written
                    if not is_written:
                        self._waiting[:0] = some
                    self._changed.notify_all()
            if not is_written:
                time.sleep(RETRY_SECONDS)

    def _write(self, events: list[StoredEvent]) -> bool:
        """Write these; whether there is nothing more to do for them."""
        try:
            self._store.append(events)
        except BrokerRefused as error:
            log.warning("%d events are lost, the store refused them: %s", len(events), error)
        except OrchestratorError as error:
            if not self._is_away:
                log.warning("events wait for the store, which does not answer: %s", error)
            return False
        except Exception:
            log.exception("%d events are lost", len(events))
        return True


_current: tuple[Fleet, Outbox] | None = None


def outbox_of(fleet: Fleet) -> Outbox:
    """The one of a fleet; after a fork the process has another fleet, and so another outbox."""
    global _current
    known = _current
    if known is None or known[0] is not fleet:
        known = _current = fleet, Outbox(fleet.broker.events)
    return known[1]
