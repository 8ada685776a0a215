"""Guesses of passwords, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from brokers.facets.guesses import Pace


class MemoryGuesses:
    """See :class:`brokers.base.Guesses`."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[int, float, float]] = {}  # number, moment of the last, when it is forgotten
        self._lock = threading.Lock()

    def begin(self, paces: Mapping[str, Pace], forgotten_after_ms: int) -> int:
        now = time.monotonic() * 1000
        with self._lock:
            self._made = {name: made for name, made in self._made.items() if made[2] > now}
            wait = max((self._wait(name, pace, now) for name, pace in paces.items()), default=0)
            if wait:
                return wait
            for name in paces:
                number = self._made.get(name, (0, 0, 0))[0]
                self._made[name] = (number + 1, now, now + forgotten_after_ms)
            return 0

    def _wait(self, name: str, pace: Pace, now: float) -> int:
        number, last, _ = self._made.get(name, (0, 0.0, 0.0))
        if number < pace.free:
            return 0
        wait = min(pace.first_wait_ms * 2 ** min(number - pace.free, 40), pace.longest_wait_ms)
        return max(0, int(last + wait - now))

    def forget(self, names: Sequence[str], shares: Mapping[str, str] = MappingProxyType({})) -> None:
        with self._lock:
            for part, whole in shares.items():
                slips, (made, last, until) = (
                    self._made.pop(part, (0, 0.0, 0.0))[0],
                    self._made.get(whole, (0, 0.0, 0.0)),
                )
                self._made[whole] = (max(0, made - slips), last, until)
            for name in names:
                self._made.pop(name, None)
