"""The index of a process that asks now and then: nothing follows the journal meanwhile.

Whoever asks sees what has been written until now, and pays for reading it: what is new since the last question, and so
much of the past as the answer needs.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerRefused
from orchestrator.server.index import FORGET_SECONDS, SERVER_CHECK_SECONDS, RunIndex
from orchestrator.server.index.feed import Feed
from orchestrator.server.index.tables import Tables

FIRST_SECONDS: Final = 0.1


class OnDemandIndex(RunIndex):
    """An index that is brought up to date by those who ask it; it may be asked from any thread.

    Args:
        fleet: the fleet whose runs are indexed.
    """

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._reading = threading.Lock()

    def start(self) -> None:
        """Nothing: it reads when it is asked."""

    @property
    def tables(self) -> Tables:
        """What is known of the runs, with all that is new. Raises BrokerError."""
        with self._reading:
            self._fleet.flow_reports.flush()  # what this process itself has just done
            feed = self._feed or self._with_the_newest()
            self._look_after(feed)
            while feed.follow():
                pass
            return self._tables

    def _with_the_newest(self) -> Feed:
        feed, deadline = self._begin(), time.monotonic() + FIRST_SECONDS
        while feed.step() and time.monotonic() < deadline:
            pass
        return feed

    def _look_after(self, feed: Feed) -> None:
        """Now and then: see to runs whose processes have died, and to records that have expired."""
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + SERVER_CHECK_SECONDS
            with suppress(BrokerRefused):  # this user of the server may only read
                self._fleet.flow_reports.end_silent_runs()
        if now >= self._forget_at + FORGET_SECONDS:
            self._forget_at = now
            feed.forget_expired()

    def catch_up(self, seconds: float = 0.0) -> bool:
        """Nothing to wait for: see :attr:`tables`."""
        return True

    @property
    def has_all(self) -> bool:
        """Whether the past has been read to its beginning."""
        feed = self._feed
        return feed is not None and feed.complete and not feed.has_lists_to_read

    def read_back(self, seconds: float) -> None:
        """Read the past for so long, or to its beginning. Raises BrokerError."""
        deadline = time.monotonic() + seconds
        with self._reading:
            feed = self._feed or self._with_the_newest()
            while not self.has_all and time.monotonic() < deadline:
                feed.step()
