"""Calls that are fetched and not started: they wait in a lane behind those that run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from brokers.messages import Delivery

BATCH_SECONDS: Final = 0.03  # fetch about as much as keeps a slot busy for so long
LARGEST_BATCH: Final = 128
HAND_BACK_AFTER_SECONDS: Final = 0.05
WEIGHT_OF_LATEST: Final = 0.1  # in the average of how long calls take


class Prefetched:
    """First in, first out; safe to use from several threads.

    Args:
        in_batches: whether more calls are fetched than there are free slots, while calls are short.
    """

    def __init__(self, in_batches: bool = True) -> None:
        self._in_batches = in_batches
        self._ready: deque[Delivery] = deque()
        self._average_seconds = 0.001
        self._last_start = time.monotonic()
        self.pop = self._ready.popleft  # raises IndexError when there is none
        self.extend: Callable[[Sequence[Delivery]], None] = self._ready.extend

    def __len__(self) -> int:
        return len(self._ready)

    def started(self, now: float) -> None:
        """A call begins."""
        self._last_start = now

    def ended(self, seconds: float) -> None:
        """A call has ended, after so long."""
        self._average_seconds += WEIGHT_OF_LATEST * (seconds - self._average_seconds)

    def batch_for(self, slots: int, busy: int) -> int:
        """How many calls to fetch for so many slots, of which some are busy.

        Short calls come in batches. Long ones do not: what waits here could run in a free slot elsewhere.
        """
        per_slot = min(LARGEST_BATCH, max(1, int(BATCH_SECONDS / self._average_seconds))) if self._in_batches else 1
        return per_slot * slots if per_slot > 1 else max(1, slots - busy + 1)

    def is_stuck(self, now: float) -> bool:
        """Whether calls wait behind one that takes long."""
        return bool(self._ready) and now - self._last_start > HAND_BACK_AFTER_SECONDS

    def drain(self) -> list[Delivery]:
        """Take all of them out, to be handed back."""
        taken: list[Delivery] = []
        with suppress(IndexError):
            while True:
                taken.append(self._ready.popleft())
        return taken

    def drop(self, run_id: str) -> list[Delivery]:
        """Take one run's calls out."""
        dropped = [delivery for delivery in list(self._ready) if delivery.run_id == run_id]
        for delivery in dropped:
            with suppress(ValueError):  # it was started meanwhile
                self._ready.remove(delivery)
        return dropped
