"""A single call whose end comes to this process: its handle is known before it is sent, under whatever id it gets."""

from __future__ import annotations

from typing import Any

from brokers.messages import Envelope
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from orchestrator.submission.signed_calls import rebound


class WatchedCall:
    """While it is being sent.

    Args:
        fleet: where it is sent.
        envelope: the call; it names this process's inbox.

    Attributes:
        future: the handle.
    """

    __slots__ = ("_batch", "_is_given_up", "_open_futures", "_run_ids", "future")

    def __init__(self, fleet: Fleet, envelope: Envelope) -> None:
        self.future: PrefectFuture[Any] = PrefectFuture(envelope.run_id, source=fleet)
        self._is_given_up = False
        self._run_ids = [envelope.run_id]
        self._open_futures = fleet.open_futures
        self._batch = fleet.open_futures.begin_to_send(self._run_ids)
        fleet.open_futures.watch(self.future)

    def rebound(self, envelope: Envelope, run_id: str) -> bytes:
        """The body under the id that the call gets instead; the end of that run is the handle's from now on."""
        body = rebound(envelope, run_id)
        self._run_ids.append(run_id)
        if not self._is_given_up:
            self._open_futures.rename(self.future, run_id)
        return body

    def sent(self, run_id: str) -> PrefectFuture[Any]:
        """It is in the store under this id."""
        future = self.future
        if run_id != future.run_id:  # it has kept its first one after all, and may have ended unseen
            self._open_futures.rename(future, run_id)
            future.watched = False
        self._open_futures.has_sent(self._batch)
        return future

    def failed(self) -> None:
        """Nobody gets the handle."""
        self._is_given_up = True
        self._open_futures.forget([self.future])
        self._open_futures.has_sent(self._batch)
