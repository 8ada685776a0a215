"""Connections of the dashboard's server: half a request keeps none for long, and their number is bounded.

uvicorn waits for the rest of a request as long as the other side likes. Here every connection must have sent the whole
of its next request in time and must read its answer; where all places are taken, the one that has waited longest with
half a request (or none) makes room, so whoever sends whole requests is always served.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS: Final = 10.0  # from the connection, or the last answer, to the end of the next request's head
BODY_SECONDS: Final = 20.0  # the application refuses it before (orchestrator.server.guard) where it reads one
STALLED_SECONDS: Final = 30.0  # an answer of which nothing more is read
MAX_CONNECTIONS: Final = 200
POLL_SECONDS: Final = 1.0


class BoundedConnection(H11Protocol):
    """One connection, looked at every second."""

    _since = (
        0.0  # when it began to be as it is: without a request, with half of one, or with an answer that is not read
    )
    _seen: RequestResponseCycle | None = None
    _look_handle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come; where there is no room, somebody has to go."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._look_handle = self.loop.call_later(POLL_SECONDS, self._look)
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if self._look_handle is not None:
            self._look_handle.cancel()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        bounded = [other for other in self.connections if isinstance(other, BoundedConnection) and other is not self]
        waiting = [other for other in bounded if other.is_incomplete and not other.transport.is_closing()]
        leaves = min(waiting, key=lambda other: other._since, default=self)
        leaves.transport.abort()

    @property
    def is_incomplete(self) -> bool:
        """Whether the other side owes a request, or the rest of one."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        now, cycle = self.loop.time(), self.cycle
        if (cycle is not self._seen or not self.is_incomplete) and not self.flow.write_paused:
            self._seen, self._since = cycle, now
        if now - self._since > self._limit():
            self.transport.abort()
        else:
            self._look_handle = self.loop.call_later(POLL_SECONDS, self._look)

    def _limit(self) -> float:
        if self.flow.write_paused:
            return STALLED_SECONDS
        is_in_body = self.cycle is not None and not self.cycle.response_complete
        return BODY_SECONDS if is_in_body else HEAD_SECONDS
