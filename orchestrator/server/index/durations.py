"""How long the runs of each task took: counts in steps of a twentieth, from which percentiles are read."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

_STEP: Final = math.log(1.05)  # a percentile is wrong by a fortieth at most


class Durations:
    """Counts of durations by kind of run. Forgotten runs are subtracted, so nothing here grows with time.

    >>> durations = Durations()
    >>> for milliseconds in range(1, 101):
    ...     durations.add(kind=0, microseconds=milliseconds * 1000, change=1)
    >>> [round(1000 * durations.percentile([0], share)) for share in (0.5, 0.95)]
    [51, 95]
    """

    def __init__(self) -> None:
        self._counts: dict[int, Counter[int]] = {}

    def add(self, kind: int, microseconds: int, change: int) -> None:
        """So many more (or, below zero, fewer) runs of this kind took so long."""
        self._counts.setdefault(kind, Counter())[round(math.log1p(max(0, microseconds)) / _STEP)] += change

    def percentile(self, kinds: list[int], share: float) -> float | None:
        """Within how many seconds this share of the runs of these kinds was done; ``None``: there are none."""
        whole: Counter[int] = Counter()
        for kind in kinds:
            whole.update(dict(self._counts.get(kind, {})))
        number = sum(count for count in whole.values() if count > 0)
        rank, passed = share * number, 0
        for step, count in sorted(whole.items()):
            passed += max(0, count)
            if count > 0 and passed >= rank:
                return math.expm1(step * _STEP) / 1e6
        return None
