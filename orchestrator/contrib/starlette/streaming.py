"""Server-sent events of one run, as an ASGI response that ends with its client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.contrib.starlette.feed import Feed, Line, Watched, server_stops
from orchestrator.contrib.starlette.status import status_of
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.web")
HEARTBEAT_SECONDS: Final = 15.0
RECONNECT_MS: Final = 2000  # what browsers wait before they come back
NO_LINE: Final = "0"
ENDED: Final = "end"


def event(name: str, data: Any, mark: str) -> str:
    """One event of a stream; ``mark`` is what a client comes back with.

    >>> event("log", {"a": 1}, "x")
    'event: log\\nid: x\\ndata: {"a": 1}\\n\\n'
    """
    return f"event: {name}\nid: {mark}\ndata: {json.dumps(data)}\n\n"


class Telling:
    """What one client has been told, and what it is to be told next.

    Args:
        watched: the run.
        had: the mark of the last log line that the client has had.
        tracebacks: whether errors are told with theirs.
    """

    def __init__(self, watched: Watched, had: str, tracebacks: bool) -> None:
        self._watched, self._mark, self._tracebacks = watched, had, tracebacks
        self._told: dict[str, Any] | None = None
        self._trouble: str | None = None
        self.over = False

    def news(self) -> list[str]:
        """The events that are due: a snapshot first, then what has changed; the end comes last."""
        seen = self._watched.seen
        if seen is None:
            return self._about_trouble()
        facts = status_of(seen, result=False).model_dump(mode="json", exclude={"result", "error"})
        told, self._told = self._told, facts
        events = self._about_trouble()
        if told is None:
            events.append(event("snapshot", facts, self._mark))
        events += [self._line(line) for line in self._new_lines()]
        if told is not None and told["progress"] != facts["progress"]:
            events.append(event("progress", facts["progress"], self._mark))
        if told is not None and _state(told) != _state(facts):
            events.append(event("state", facts, self._mark))
        if seen.ended or not seen.known:  # its record may have expired
            self.over = True
            whole = status_of(seen, tracebacks=self._tracebacks).model_dump(mode="json")
            events.append(event("end", whole, f"{self._mark}.{ENDED}"))
        return events

    def _about_trouble(self) -> list[str]:
        """A comment when the store does not answer; the stream goes on when it is back."""
        trouble, self._trouble = self._trouble, self._watched.trouble
        return [": the server does not answer; waiting for it\n\n"] if self._trouble and not trouble else []

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
    """The events of a run until it has ended, the client is gone or the server stops.

    Args:
        feed: what looks at the store.
        run_id: the run.
        last_event_id: what the client has had, as it said; empty for nothing.
        tracebacks: whether errors are told with theirs.
        heartbeat_seconds: after so much silence a comment is sent, for the proxies between.
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
        self._feed, self._run_id, self._had = feed, run_id, last_event_id.partition(".")[0] or NO_LINE
        self._tracebacks, self._heartbeat_seconds = tracebacks, heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_until_gone(receive))
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
            async with aclosing(self._texts()) as texts:  # it leaves the feed also when sending is interrupted
                async for text in texts:
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        except BrokerError as error:  # before it could be watched: the client comes back
            log.warning("the events of run %s cannot be told now: %s", self._run_id, error)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self) -> AsyncGenerator[str, None]:
        yield f"retry: {RECONNECT_MS}\n\n"
        async with self._feed.listen(self._run_id) as (watched, news):
            telling = Telling(watched, self._had, self._tracebacks)
            while not telling.over and not server_stops():
                try:
                    async with asyncio.timeout(self._heartbeat_seconds):
                        await news.wait()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                news.clear()
                for text in telling.news():
                    yield text


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
