"""Ids of calls that a thread sends one after another without waiting, as a flow does: places of a block side by side.

Whoever goes on at once needs the id of a call before it is known which calls share its trip. So the thread takes the
next place of a block that is open until the sender makes its next trip; those of one trip are a block then, and the
next call begins another. A call that misses its trip, or is alone in it, has a record under the id that it got.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from brokers.block_ids import MOST_IN_BLOCK, member_ids
from orchestrator.runs.run_ids import new_block, new_run_id


class OpenBlock(threading.local):
    """That of each thread.

    Args:
        trips: counts the trips that the sender has begun.
    """

    def __init__(self, trips: Callable[[], int]) -> None:
        self._trips = trips
        self._frame: object = None
        self._trip = -1
        self._ids: list[str] = []  # that are left, the next one last

    def next_id(self, frame: object) -> str:
        """The id of the next call; the first of several calls of one frame has a record of its own.

        Args:
            frame: what is the same for all calls of the block, known by its identity.
        """
        if frame is not self._frame:  # who sends calls of two tasks in turn has them done in turn
            self._frame, self._ids = frame, []
            return new_run_id()
        trip = self._trips()
        if trip != self._trip or not self._ids:
            self._trip, self._ids = trip, member_ids(new_block(), MOST_IN_BLOCK)[::-1]
        return self._ids.pop()

    def close(self) -> None:
        """The next call is another block's: the last id was not used, or something else was sent in between."""
        self._frame = None
