"""What the addresses below ``/tasks`` answer; Starlette's and FastAPI's routes both come here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse, Response

from orchestrator.contrib.starlette.answers import NOT_NOW, no_such_run, not_now
from orchestrator.contrib.starlette.feed import current_feed
from orchestrator.contrib.starlette.status import Seen, look_at, status_of
from orchestrator.contrib.starlette.streaming import ENDED, EventStream
from orchestrator.contrib.starlette.streaming import HEARTBEAT_SECONDS as HEARTBEAT_SECONDS
from orchestrator.errors import BrokerError
from orchestrator.fleet import current_fleet

LONGEST_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Endpoints:
    """The three answers.

    Attributes:
        tracebacks: whether errors are told with their tracebacks; they show code and perhaps data of yours.
        longest_wait_seconds: a client that wants to wait longer is answered then.
        heartbeat_seconds: after so much silence an event stream sends a comment.
    """

    tracebacks: bool = False
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    heartbeat_seconds: float = HEARTBEAT_SECONDS

    async def show(self, run_id: str, wait_seconds: float = 0.0) -> Response:
        """The run; one that has not ended after waiting, with no thread held, for its end. 404, 503."""
        try:
            seen = await _look(run_id)
            if seen.known and not seen.ended and wait_seconds > 0:
                await self._wait(run_id, min(wait_seconds, self.longest_wait_seconds))
                seen = await _look(run_id)
        except NOT_NOW as error:
            return _refused(error)
        return self._told(seen)

    async def _wait(self, run_id: str, seconds: float) -> None:
        async with current_feed().watch(run_id) as watched:
            try:
                async with asyncio.timeout(seconds):
                    await watched.ended.wait()
            except TimeoutError:
                return

    def _told(self, seen: Seen, status_code: int = 200) -> Response:
        if not seen.known:
            return no_such_run()
        told = status_of(seen, tracebacks=self.tracebacks).model_dump(mode="json")
        return JSONResponse(told, status_code, {"Cache-Control": "no-store"})

    async def events(self, run_id: str, last_event_id: str = "") -> Response:
        """The run's events. 204 to a client that has had the end: browsers stop coming back then. 404, 503."""
        if last_event_id.endswith(f".{ENDED}"):
            return Response(status_code=204)
        try:
            seen = await _look(run_id)
        except NOT_NOW as error:
            return _refused(error)
        if not seen.known:
            return no_such_run()
        return EventStream(
            current_feed(),
            run_id,
            last_event_id,
            tracebacks=self.tracebacks,
            heartbeat_seconds=self.heartbeat_seconds,
        )

    async def cancel(self, run_id: str) -> Response:
        """Ask the run to stop: 202; 200 if it has ended anyway. Body: the run as it is now. 404, 503."""
        try:
            (asked,) = await asyncio.to_thread(current_fleet().cancel, [run_id])
            seen = await _look(run_id)
        except NOT_NOW as error:
            return _refused(error)
        return self._told(seen, 202 if asked else 200)


async def _look(run_id: str) -> Seen:
    def look() -> Seen:
        return look_at(current_fleet(), [run_id])[run_id]

    return await asyncio.to_thread(look)


def _refused(error: Exception) -> Response:
    assert isinstance(error, BrokerError)
    return not_now(error)
