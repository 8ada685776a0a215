"""Ends of calls on their way to the store: collected, sent in groups, kept while the server is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from brokers.contract import Ending, Settlement
from orchestrator import failpoints
from orchestrator.errors import BrokerError, StoreFull

log = logging.getLogger("orchestrator.slots")
GROUP: Final = 100  # settlements that are sent without waiting for more
MOST_BYTES: Final = 4 << 20  # of outcomes in one script
HOLD_SECONDS: Final = 0.01  # how long one waits for others


class Finished:
    """Settlements that the store has not confirmed.

    Args:
        complete: the broker's verb, with the consumer given; returns refused run ids.
    """

    def __init__(self, complete: Callable[[Sequence[Settlement]], list[str]]) -> None:
        self._complete = complete
        self._waiting: list[Settlement] = []
        self._on_the_way: list[list[Settlement]] = []
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
        """What waits, as much as one script should get; whoever takes it says :meth:`sent` or :meth:`put_back`."""
        with self._lock:
            count = _count_for_one_script(self._waiting)
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            if taken:
                self._on_the_way.append(taken)
        return taken

    def sent(self, settlements: list[Settlement], too_late: Sequence[str]) -> None:
        """The store has confirmed what was taken, and refused these runs."""
        if settlements:
            with self._lock:
                self._arrived(settlements)
            if failpoints.armed:
                failpoints.fail_at("after_completion")
        if too_late:
            note_refused(settlements, too_late)

    def _arrived(self, settlements: list[Settlement]) -> None:
        self._on_the_way = [others for others in self._on_the_way if others is not settlements]

    def put_back(self, settlements: list[Settlement]) -> None:
        """They could not be sent; first in line again."""
        with self._lock:
            self._arrived(settlements)
            self._waiting = settlements + self._waiting

    def tickets(self) -> set[str]:
        """The deliveries whose ends are here or on their way."""
        with self._lock:
            return {settlement.ticket for some in [self._waiting, *self._on_the_way] for settlement in some}

    def flush(self) -> None:
        """Send what waits. Raises BrokerError; nothing is lost then."""
        with self._sending:
            while taken := self.take():
                try:
                    if failpoints.armed:
                        failpoints.fail_at("before_flush")
                    too_late = self._complete(taken)
                except BaseException:
                    self.put_back(taken)
                    raise
                self.sent(taken, too_late)

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


def _count_for_one_script(settlements: Sequence[Settlement]) -> int:
    """A hundred results of 10 MB in one argument would be more than a server takes, each time it is tried."""
    size = 0
    for count, settlement in enumerate(settlements):
        size += len(settlement.outcome)
        if size > MOST_BYTES and count:
            return count
    return len(settlements)


def note_refused(settlements: Sequence[Settlement], run_ids: Sequence[str]) -> None:
    """Log outcomes that came too late: the run was taken over, cancelled or ended otherwise."""
    handed_back = {settlement.run_id for settlement in settlements if settlement.how == Ending.HAND_BACK}
    dropped = [run_id for run_id in run_ids if run_id not in handed_back]  # a call handed back too late loses nothing
    if dropped:
        shown = ", ".join(dropped[:5])
        log.warning(
            "%d outcomes came too late and were dropped (ended or taken over meanwhile): %s", len(dropped), shown
        )
