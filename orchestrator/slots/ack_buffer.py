"""Ends of calls on their way to the store: collected, sent in groups, kept while the server is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from brokers.messages import Ack, AckKind
from orchestrator.errors import BrokerError, StoreFull
from orchestrator.slots import failpoints

T = TypeVar("T")
log = logging.getLogger("orchestrator.slots")
GROUP: Final = 256  # acks that are sent without waiting for more: those of a message of Celery go at once
MAX_BYTES: Final = 4 << 20  # of outcomes in one script
HOLD_SECONDS: Final = 0.01  # how long one waits for others


class AckBuffer:
    """Settlements that the store has not confirmed.

    Args:
        complete: the broker's verb, with the consumer given; returns refused run ids.
    """

    def __init__(self, complete: Callable[[Sequence[Ack]], list[str]]) -> None:
        self._complete = complete
        self._waiting: list[Ack] = []
        self._on_the_way: list[list[Ack]] = []
        self._since = 0.0
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    def add(self, ack: Ack) -> bool:
        """Take one; True when enough has come together, or waited long enough, to be sent now."""
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(ack)
            return len(self._waiting) >= GROUP or time.monotonic() - self._since > HOLD_SECONDS

    @property
    def overdue(self) -> bool:
        """Whether something has waited longer than it should."""
        return bool(self._waiting) and time.monotonic() - self._since > HOLD_SECONDS

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> list[Ack]:
        """What waits, as much as one script should get; whoever takes it says :meth:`sent` or :meth:`put_back`."""
        with self._lock:
            count = _count_for_one_script(self._waiting)
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            if taken:
                self._on_the_way.append(taken)
        return taken

    def sent(self, acks: list[Ack], too_late: Sequence[str]) -> None:
        """The store has confirmed what was taken, and refused these runs."""
        if acks:
            with self._lock:
                self._arrived(acks)
            if failpoints.armed:
                failpoints.fail_at("after_completion")
        if too_late:
            note_refused(acks, too_late)

    def _arrived(self, acks: list[Ack]) -> None:
        self._on_the_way = [others for others in self._on_the_way if others is not acks]

    def put_back(self, acks: list[Ack]) -> None:
        """They could not be sent; first in line again."""
        with self._lock:
            self._arrived(acks)
            self._waiting = acks + self._waiting

    def tickets(self) -> set[str]:
        """The deliveries whose ends are here or on their way."""
        with self._lock:
            return {ack.ticket for some in [self._waiting, *self._on_the_way] for ack in some}

    def exchange(self, send: Callable[[list[Ack]], tuple[T, Sequence[str]]]) -> T:
        """Send what waits by ``send``, which returns something in exchange, and the run ids that were refused.

        Whatever it raises is raised here; nothing is lost then.
        """
        taken = self.take()
        try:
            if failpoints.armed and taken:
                failpoints.fail_at("before_flush")
            received, too_late = send(taken)
        except BaseException:
            self.put_back(taken)
            raise
        self.sent(taken, too_late)
        return received

    def flush(self) -> None:
        """Send what waits. Raises BrokerError; nothing is lost then."""
        with self._sending:
            while self._waiting:
                self.exchange(lambda acks: (None, self._complete(acks) if acks else ()))  # a lane may have been faster

    def flush_for(self, seconds: float) -> bool:
        """Send what waits, trying for so long; whether all was sent."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                self.flush()
                return True
            except StoreFull as error:
                log.error("%d finished calls wait here: %s", len(self), error)
            except BrokerError as error:
                log.debug("finished calls wait for the server: %s", error)
            if time.monotonic() > deadline:
                return False
            pause.wait(0.1)


def _count_for_one_script(acks: Sequence[Ack]) -> int:
    """A hundred results of 10 MB in one argument would be more than a server takes, each time it is tried."""
    size = 0
    for count, ack in enumerate(acks):
        size += len(ack.outcome)
        if size > MAX_BYTES and count:
            return count
    return len(acks)


def note_refused(acks: Sequence[Ack], run_ids: Sequence[str]) -> None:
    """Log outcomes that came too late: the run was taken over, cancelled or ended otherwise."""
    handed_back = {ack.run_id for ack in acks if ack.how == AckKind.HAND_BACK}
    dropped = [run_id for run_id in run_ids if run_id not in handed_back]  # a call handed back too late loses nothing
    if dropped:
        shown = ", ".join(dropped[:5])
        log.warning(
            "%d outcomes came too late and were dropped (ended or taken over meanwhile): %s", len(dropped), shown
        )
