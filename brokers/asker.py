"""Threads that ask for the ends of runs at the same moment share a round trip, and thereby a connection.

As in ``sender``: whoever holds the turn asks for all that wait; the others find their question answered when they get
the turn. Each gets its own answer, or the same error at the same time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from brokers.deadline import within
from brokers.errors import BrokerError, BrokerUnavailable
from brokers.messages import RunEnd
from brokers.owned_lock import OwnedLock
from brokers.parcel import OTHERS_SEND


class _Question:
    """The ends of some runs, and what came of asking."""

    __slots__ = ("done", "ends", "error", "run_ids")

    def __init__(self, run_ids: Sequence[str]) -> None:
        self.run_ids = run_ids
        self.ends: list[RunEnd] = []
        self.error: BrokerError | None = None
        self.done = False


class Asker:
    """Asks through ``expect`` (the broker's verb).

    Args:
        expect: have the ends of these runs sent to the inbox; returns those that have ended already.
        seconds: how long a caller waits at most for others that ask.
    """

    def __init__(self, expect: Callable[[Sequence[str]], list[RunEnd]], *, seconds: float = 60.0) -> None:
        self._expect = expect
        self._seconds = seconds
        self._turn = OwnedLock()
        self._waiting: deque[_Question] = deque()

    def ask(self, run_ids: Sequence[str]) -> list[RunEnd]:
        """Those of these runs that have ended already. Raises BrokerError."""
        mine = _Question(run_ids)
        self._waiting.append(mine)
        seconds = max(0.0, within(self._seconds) - time.monotonic())
        if not self._turn.run(lambda: None if mine.done else self._ask_for_all(), seconds):
            raise BrokerUnavailable(OTHERS_SEND)
        if mine.error is not None:
            raise mine.error
        return mine.ends

    def _ask_for_all(self) -> None:
        asked: list[_Question] = []
        try:
            while self._waiting:
                asked.append(self._waiting.popleft())
            ends = {end[0]: end for end in self._expect(list({run for one in asked for run in one.run_ids}))}
            for question in asked:
                question.ends = [ends[run_id] for run_id in question.run_ids if run_id in ends]
                question.done = True
        except BrokerError as error:
            for question in asked:
                question.error, question.done = error, True
        finally:
            # This thread may have been interrupted (a timeout of its task): then the next one asks for the others.
            self._waiting.extend(question for question in asked if not question.done)
