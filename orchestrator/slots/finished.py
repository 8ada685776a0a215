"""Ends of calls on their way to the store: collected, sent in groups, kept while the server is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from brokers.contract import Settlement
from orchestrator.errors import BrokerError, StoreFull

log = logging.getLogger("orchestrator.slots")
GROUP: Final = 100  # settlements that are sent without waiting for more
HOLD_SECONDS: Final = 0.01  # how long one waits for others


class Finished:
    """Settlements that the store has not confirmed.

    Args:
        complete: the broker's verb, with the consumer given; returns refused run ids.
    """

    def __init__(self, complete: Callable[[Sequence[Settlement]], list[str]]) -> None:
        self._complete = complete
        self._waiting: list[Settlement] = []
        self._since = 0.0
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    def add(self, settlement: Settlement) -> bool:
        """Take one; True when enough has come together, or waited long enough, to be sent now."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(settlement)
            return len(self._waiting) >= GROUP or time.monotonic() - self._since > HOLD_SECONDS

    @property
    def overdue(self) -> bool:
        """Whether something has waited longer than it should."""
        return bool(self._waiting) and time.monotonic() - self._since > HOLD_SECONDS

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> list[Settlement]:
        """Everything that waits; whoever takes it sends it, or puts it back."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def put_back(self, settlements: list[Settlement]) -> None:
        """They could not be sent; first in line again."""
        with self._lock:
            self._waiting = settlements + self._waiting

    def flush(self) -> None:
        """Send what waits. Raises BrokerError; nothing is lost then."""
        with self._sending:
            taken = self.take()
            if not taken:
                return
            try:
                note_refused(self._complete(taken))
            except BrokerError:
                self.put_back(taken)
                raise

    def flush_for(self, seconds: float) -> bool:
        """Send what waits, trying for so long; whether all was sent."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                self.flush()
                return True
            except StoreFull:
                log.error("the server is out of memory: %d finished calls wait here", len(self))
            except BrokerError as error:
                log.debug("finished calls wait for the server: %s", error)
            if time.monotonic() > deadline:
                return False
            pause.wait(0.1)


def note_refused(run_ids: Sequence[str]) -> None:
    """Log outcomes that came too late: the run was taken over, cancelled or ended otherwise."""
    if run_ids:
        shown = ", ".join(run_ids[:5])
        log.warning(
            "%d outcomes came too late and were dropped (ended or taken over meanwhile): %s", len(run_ids), shown
        )
