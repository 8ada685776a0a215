"""How many threads run calls: permits, and the count of threads that come and go with calls that wait."""

from __future__ import annotations

import threading

from orchestrator.client.wakers import Woken


class Permits:
    """As many as there are slots; those who come back from a wait go first."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._returning = 0
        self._changed = threading.Condition()

    @property
    def wanted_back(self) -> bool:
        """Whether someone who lent theirs waits for one."""
        return self._returning > 0

    def take(self) -> None:
        """Block until one is free that nobody wants back."""
        with self._changed:
            while self._free <= 0 or self._returning:
                self._changed.wait()
            self._free -= 1

    def take_back(self) -> None:
        """Block until one is free; before those who :meth:`take`."""
        with self._changed, Woken(self._wake):
            self._returning += 1
            try:
                while self._free <= 0:
                    self._changed.wait()
            finally:  # whoever is interrupted here (a timeout, a cancel) goes on with one that is missing for a while
                self._returning -= 1
                self._free -= 1

    def take_at_once(self) -> None:
        """Take one that may be missing for a while."""
        with self._changed:
            self._free -= 1

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def give(self) -> None:
        """It is free for others."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def yield_to_returning(self) -> None:
        """Between two calls: let those go first who want theirs back."""
        if self._returning:
            self.give()
            self.take()


class ThreadBudget:
    """Counts a lane's threads: as many as there are slots, and one more for each call that waits.

    Args:
        count: how many calls may run at once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._looping = 0  # threads in the loop, those whose call waits included
        self._lent = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """A thread begins to take calls."""
        with self._lock:
            self._looping += 1

    def leave(self) -> None:
        """A thread has ended."""
        with self._lock:
            self._looping -= 1

    def lend(self) -> bool:
        """A thread's call waits; whether there are too few others."""
        with self._lock:
            self._lent += 1
            return self._looping - self._lent < self.count

    def take_back(self) -> None:
        """The wait is over."""
        with self._lock:
            self._lent -= 1

    @property
    def is_exceeded(self) -> bool:
        """Whether there is a thread too many: it took the place of one that waited."""
        with self._lock:
            return self._looping - self._lent > self.count
