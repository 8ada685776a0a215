"""What the supervisor's main thread does later."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class Timers:
    """Functions and the moments at which they are due; for one thread.

    Args:
        clock: gives seconds.

    >>> now = [0.0]
    >>> timers = Timers(lambda: now[0])
    >>> timers.after(2.0, lambda: print("two seconds later"))
    >>> timers.seconds_left(at_most=10.0)
    2.0
    >>> now[0] = 2.0
    >>> timers.run_due()
    two seconds later
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # functions cannot be compared

    def after(self, seconds: float, run: Callable[[], None]) -> None:
        """Run it in so many seconds."""
        heapq.heappush(self._due, (self.clock() + seconds, next(self._order), run))

    def run_due(self) -> None:
        """Run what is due now; what that adds waits for the next time."""
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def seconds_left(self, at_most: float) -> float:
        """Until the next one is due."""
        return max(0.0, min(self._due[0][0] - self.clock(), at_most)) if self._due else at_most
