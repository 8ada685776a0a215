"""The endpoints below ``/tasks``, shared by Starlette's and FastAPI's routes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.types import Receive

from orchestrator.client.fleet import current_fleet
from orchestrator.contrib.starlette.feed import current_feed
from orchestrator.contrib.starlette.responses import UNAVAILABLE, no_such_run, unavailable
from orchestrator.contrib.starlette.status import RunSnapshot, read_snapshots, status_of
from orchestrator.contrib.starlette.streaming import ENDED, EventStream, until_disconnected
from orchestrator.contrib.starlette.streaming import HEARTBEAT_SECONDS as HEARTBEAT_SECONDS
from orchestrator.errors import BrokerError

MAX_WAIT_SECONDS: Final = 60.0
CLIENT_CLOSED_REQUEST: Final = 499  # for access logs; nobody reads the response


@dataclass(frozen=True)
class Endpoints:
    """The three endpoints.

    Attributes:
        tracebacks: whether errors are shown with their tracebacks, which reveal code and perhaps data.
        longest_wait_seconds: the upper bound of a client's wait.
        heartbeat_seconds: a silent event stream sends a comment this often.
    """

    tracebacks: bool = False
    longest_wait_seconds: float = MAX_WAIT_SECONDS
    heartbeat_seconds: float = HEARTBEAT_SECONDS

    async def show(self, run_id: str, wait_seconds: float = 0.0, receive: Receive | None = None) -> Response:
        """The status of a run, after waiting for its end if requested; waiting holds no thread. 404, 503.

        Args:
            run_id: the run.
            wait_seconds: how long to wait for the end.
            receive: the request's; the wait stops when it reports that the client has disconnected.
        """
        try:
            snapshot = await _read(run_id)
            if snapshot.known and not snapshot.ended and wait_seconds > 0:
                if not await self._wait(run_id, min(wait_seconds, self.longest_wait_seconds), receive):
                    return Response(status_code=CLIENT_CLOSED_REQUEST)
                snapshot = await _read(run_id)
        except UNAVAILABLE as error:
            return _unavailable(error)
        return self._status(snapshot)

    async def _wait(self, run_id: str, seconds: float, receive: Receive | None) -> bool:
        """Wait for the end; whether the client is still connected."""
        async with current_feed().watch(run_id) as watched:
            ended = asyncio.create_task(watched.ended.wait())
            gone = asyncio.create_task(until_disconnected(receive)) if receive is not None else None
            try:
                await asyncio.wait(
                    {ended, gone} if gone is not None else {ended},
                    timeout=seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                return gone is None or not gone.done() or ended.done()
            finally:
                ended.cancel()
                if gone is not None:
                    gone.cancel()

    def _status(self, snapshot: RunSnapshot, status_code: int = 200) -> Response:
        if not snapshot.known:
            return no_such_run()
        body = status_of(snapshot, tracebacks=self.tracebacks).model_dump(mode="json")
        return JSONResponse(body, status_code, {"Cache-Control": "no-store"})

    async def events(self, run_id: str, last_event_id: str = "") -> Response:
        """The event stream of a run. 204 to a client that has had the end, so that it stops reconnecting. 404, 503."""
        if last_event_id.endswith(f".{ENDED}"):
            return Response(status_code=204)
        try:
            snapshot = await _read(run_id)
        except UNAVAILABLE as error:
            return _unavailable(error)
        if not snapshot.known:
            return no_such_run()
        return EventStream(
            current_feed(),
            run_id,
            last_event_id,
            tracebacks=self.tracebacks,
            heartbeat_seconds=self.heartbeat_seconds,
        )

    async def cancel(self, run_id: str) -> Response:
        """Request cancellation: 202, or 200 if the run has ended. Body: the run's status now. 404, 503."""
        try:
            (requested,) = await asyncio.to_thread(current_fleet().cancel, [run_id])
            snapshot = await _read(run_id)
        except UNAVAILABLE as error:
            return _unavailable(error)
        return self._status(snapshot, 202 if requested else 200)


async def _read(run_id: str) -> RunSnapshot:
    def read() -> RunSnapshot:
        return read_snapshots(current_fleet(), [run_id])[run_id]

    return await asyncio.to_thread(read)


def _unavailable(error: Exception) -> Response:
    assert isinstance(error, BrokerError)
    return unavailable(error)
