"""Server-sent events of one run, as an ASGI response that ends when its client disconnects."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.contrib.starlette.feed import Feed, Line, WatchedRun, server_is_stopping
from orchestrator.contrib.starlette.status import status_of
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.web")
HEARTBEAT_SECONDS: Final = 15.0
RECONNECT_MS: Final = 2000  # how long browsers wait before they reconnect
NO_LINE: Final = "0"
ENDED: Final = "end"


def event(name: str, data: Any, mark: str) -> str:
    """One event of a stream; a reconnecting client sends ``mark`` back.

    >>> event("log", {"a": 1}, "x")
    'event: log\\nid: x\\ndata: {"a": 1}\\n\\n'
    """
    return f"event: {name}\nid: {mark}\ndata: {json.dumps(data)}\n\n"


class RunEvents:
    """The events of a run for one client: remembers what was sent, and returns what is due.

    Args:
        watched: the run.
        last_mark: the mark of the last log line that the client received.
        tracebacks: whether errors include their tracebacks.
    """

    def __init__(self, watched: WatchedRun, last_mark: str, tracebacks: bool) -> None:
        self._watched, self._mark, self._tracebacks = watched, last_mark, tracebacks
        self._status: dict[str, Any] | None = None
        self._error_seen: str | None = None
        self.over = False

    def due(self) -> list[str]:
        """The events due now: a snapshot first, then changes, the end last."""
        snapshot = self._watched.snapshot
        if snapshot is None:
            return self._error_comment()
        facts = status_of(snapshot, result=False).model_dump(mode="json", exclude={"result", "error"})
        previous, self._status = self._status, facts
        events = self._error_comment()
        if previous is None:
            events.append(event("snapshot", facts, self._mark))
        events += [self._line(line) for line in self._new_lines()]
        if previous is not None and previous["progress"] != facts["progress"]:
            events.append(event("progress", facts["progress"], self._mark))
        if previous is not None and _state(previous) != _state(facts):
            events.append(event("state", facts, self._mark))
        if snapshot.ended or not snapshot.known:  # its record may have expired
            self.over = True
            whole = status_of(snapshot, tracebacks=self._tracebacks).model_dump(mode="json")
            events.append(event("end", whole, f"{self._mark}.{ENDED}"))
        return events

    def _error_comment(self) -> list[str]:
        """A comment when the store stops responding; the stream goes on when it is back."""
        error, self._error_seen = self._error_seen, self._watched.error
        return [": the server does not answer; waiting for it\n\n"] if self._error_seen and not error else []

    def _new_lines(self) -> list[Line]:
        lines = self._watched.lines
        for at in range(len(lines) - 1, -1, -1):
            if lines[at].mark == self._mark:
                return lines[at + 1 :]
        return lines

    def _line(self, line: Line) -> str:
        self._mark = line.mark
        return event(
            "log", {"timestamp": line.timestamp.isoformat(), "level": line.level, "message": line.message}, self._mark
        )


def _state(facts: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(facts[name] for name in ("state", "name", "message", "run_count"))


class EventStream(Response):
    """The events of a run until it ends, the client disconnects or the server stops.

    Args:
        feed: polls the store.
        run_id: the run.
        last_event_id: the ``Last-Event-ID`` of a reconnecting client, else empty.
        tracebacks: whether errors include their tracebacks.
        heartbeat_seconds: a silent stream sends a comment this often, to keep proxies from closing it.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        feed: Feed,
        run_id: str,
        last_event_id: str = "",
        *,
        tracebacks: bool = False,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._run_id, self._last_mark = feed, run_id, last_event_id.partition(".")[0] or NO_LINE
        self._tracebacks, self._heartbeat_seconds = tracebacks, heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(until_disconnected(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.wait({sending})
        if not sending.cancelled() and not gone.done() and (error := sending.exception()) is not None:
            raise error

    async def _send(self, send: Send) -> None:
        try:
            async with aclosing(self._texts()) as texts:  # leaves the feed also when sending is interrupted
                async for text in texts:
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        except BrokerError as error:  # the run could not be watched: the client reconnects
            log.warning("cannot stream the events of run %s: %s", self._run_id, error)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self) -> AsyncGenerator[str, None]:
        yield f"retry: {RECONNECT_MS}\n\n"
        async with self._feed.listen(self._run_id) as (watched, changed):
            run_events = RunEvents(watched, self._last_mark, self._tracebacks)
            while not run_events.over and not server_is_stopping():
                try:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await changed.wait()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed.clear()
                for text in run_events.due():
                    yield text


async def until_disconnected(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass
