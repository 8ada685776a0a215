"""What happened when: counters for every ten seconds of the last day."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from brokers.messages import Status
from brokers.records import SUBMITTED
from orchestrator.server.view_models import Bucket

STEP_SECONDS: Final = 10
KEPT_SECONDS: Final = 86_400
_COLUMNS: Final = {
    SUBMITTED: 0,
    Status.COMPLETED: 1,
    Status.FAILED: 2,
    Status.CRASHED: 3,
    Status.CANCELLED: 4,
}
_WAITED, _WAITERS, _LONGEST = 5, 6, 7


class Chart:
    """Written by one thread, read by any."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[float]] = {}

    def note(self, status: bytes, milliseconds: int) -> None:
        """A run got this status."""
        column = _COLUMNS.get(status)
        if column is not None:
            self._bucket(milliseconds)[column] += 1

    def note_wait(self, milliseconds: int, waited_ms: int) -> None:
        """A run that ended then had waited so long for its start."""
        bucket = self._bucket(milliseconds)
        bucket[_WAITED] += max(0, waited_ms)
        bucket[_WAITERS] += 1
        bucket[_LONGEST] = max(bucket[_LONGEST], waited_ms)

    def _bucket(self, milliseconds: int) -> list[float]:
        number = milliseconds // (1000 * STEP_SECONDS)
        found = self._buckets.get(number)
        if found is None:
            found = self._buckets[number] = [0.0] * 8
        return found

    def forget_old(self) -> None:
        """Drop what is older than a day."""
        oldest = (time.time() - KEPT_SECONDS) // STEP_SECONDS
        for number in [number for number in list(self._buckets) if number < oldest]:
            del self._buckets[number]

    def read(self, minutes: int, step_seconds: int, now: float | None = None) -> list[Bucket]:
        """The last minutes in steps, oldest first, the current one included."""
        step = max(1, round(step_seconds / STEP_SECONDS))
        length = max(1, min(minutes * 60, KEPT_SECONDS) // (step * STEP_SECONDS))
        newest = int((time.time() if now is None else now) // STEP_SECONDS) // step
        return [self._sum(number * step, step) for number in range(newest - length + 1, newest + 1)]

    def _sum(self, first: int, step: int) -> Bucket:
        some = [bucket for number in range(first, first + step) if (bucket := self._buckets.get(number))]
        sums = [sum(bucket[column] for bucket in some) for column in range(_LONGEST)]
        moment = datetime.fromtimestamp(first * STEP_SECONDS, UTC)
        waiters = sums[_WAITERS]
        return Bucket(
            moment,
            int(sums[0]),
            int(sums[1]),
            int(sums[2]),
            int(sums[3]),
            int(sums[4]),
            wait_seconds=sums[_WAITED] / waiters / 1000 if waiters else None,
            longest_wait_seconds=max(bucket[_LONGEST] for bucket in some) / 1000 if waiters else None,
        )
