"""How soon a dead child is replaced: at once, then slower and slower if its successors die at once as well."""

from __future__ import annotations

from typing import Final

QUICK_SECONDS: Final = 1.0  # a child that lives shorter died at once
LONGEST_SECONDS: Final = 10.0
LONGEST_AT_WORK_SECONDS: Final = 1.0  # it died of a call, and a call does that no more than max_deliveries times


class Backoff:
    """Remembers the deaths in one place.

    >>> backoff = Backoff()
    >>> [backoff.after_death(0.1, at_work=False) for _ in range(5)]
    [0.0, 0.25, 0.5, 1.0, 2.0]
    >>> backoff.after_death(60, at_work=False)
    0.0
    """

    def __init__(self) -> None:
        self.quick_deaths = 0

    def after_death(self, lived_seconds: float, at_work: bool) -> float:
        """Seconds to wait before the next one starts.

        Args:
            lived_seconds: how long the dead one was ready; 0 if it never was.
            at_work: whether it died while it ran a call.
        """
        if lived_seconds >= QUICK_SECONDS:
            self.quick_deaths = 0
            return 0.0
        self.quick_deaths += 1
        if self.quick_deaths == 1:
            return 0.0
        longest = LONGEST_AT_WORK_SECONDS if at_work else LONGEST_SECONDS
        return float(min(0.25 * 2.0 ** min(self.quick_deaths - 2, 10), longest))
