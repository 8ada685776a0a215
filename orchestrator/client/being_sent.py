"""Runs that may not have reached the store yet: that it does not know one of these is no end.

Such a run is asked for again once its batch has arrived.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from brokers.block_ids import BlockRunIds
from brokers.messages import RunEnd, Status


class BeingSent:
    """The runs that this process is sending, by batch; safe to use from several threads.

    Args:
        ask_again: has everything that is open asked for.
    """

    def __init__(self, ask_again: Callable[[], object]) -> None:
        self._ask_again = ask_again
        self._run_ids: dict[int, Sequence[str]] = {}
        self._batches = itertools.count()
        self._has_doubts = False  # a run that was being sent was asked for, and was unknown

    def begin(self, run_ids: Sequence[str]) -> int:
        """These runs are about to reach the store: until :meth:`end` none of them is judged to be lost."""
        batch = next(self._batches)
        self._run_ids[batch] = run_ids
        return batch

    def end(self, batch: int) -> None:
        """The runs of this batch are in the store, or will not be."""
        self._run_ids.pop(batch, None)
        if self._has_doubts:
            self._clear_doubts()

    def batches(self) -> list[Sequence[str]]:
        """Runs that may not have reached the store yet, by batch. Take it before the store is asked."""
        return list(self._run_ids.values())

    def without_doubtful(self, ends: list[RunEnd], being_sent: Sequence[Sequence[str]]) -> list[RunEnd]:
        """The ends but those of unknown runs that were on their way to the store before it was asked."""
        maps = [run_ids for run_ids in being_sent if isinstance(run_ids, BlockRunIds)]
        others = {run_id for run_ids in being_sent if not isinstance(run_ids, BlockRunIds) for run_id in run_ids}
        clear = [
            end
            for end in ends
            if end[1] != Status.UNKNOWN or not (end[0] in others or any(end[0] in run_ids for run_ids in maps))
        ]
        if len(clear) < len(ends):
            self._has_doubts = True
            if not self._run_ids:  # they have arrived meanwhile, and nobody else will ask again
                self._clear_doubts()
        return clear

    def _clear_doubts(self) -> None:
        self._has_doubts = False
        self._ask_again()
