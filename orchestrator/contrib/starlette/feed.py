"""One look at the store for everybody who watches: how the runs that somebody watches are going on.

A process asks twice a second, in one go for all runs, however many clients watch them; and it asks about none that
nobody watches. The end of a run is not polled for: it comes through the process's inbox, at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import weakref
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from orchestrator.contrib.starlette.status import Seen, look_at
from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet, current_fleet
from orchestrator.futures import PrefectFuture
from orchestrator.log_shipper import LogLine
from orchestrator.waiting import attach

log = logging.getLogger("orchestrator.web")
POLL_SECONDS: Final = 0.5


class Line(LogLine):
    """A log line and the mark by which a client says later that it has had it."""

    @property
    def mark(self) -> str:
        """The same in every process."""
        text = f"{self.timestamp.timestamp():.6f} {self.level} {self.message}"
        return hashlib.sha1(text.encode("utf-8", "replace")).hexdigest()[:12]


class Watched:
    """A run that somebody watches.

    Attributes:
        seen: what the store said last; ``None`` before it was asked.
        lines: the kept log lines.
        trouble: why the store could not be asked last time.
    """

    def __init__(self, run_id: str, fleet: Fleet) -> None:
        self.run_id = run_id
        self.future: PrefectFuture[Any] = PrefectFuture(run_id, source=fleet)
        self.ended = asyncio.Event()
        self.registering: asyncio.Task[None] | None = None
        self.seen: Seen | None = None
        self.lines: list[Line] = []
        self.newest_line: bytes | None = b"?"
        self.trouble: str | None = None
        self.watchers = 0
        self.listeners: set[asyncio.Event] = set()

    @property
    def facts(self) -> tuple[object, ...]:
        """What listeners are told about."""
        return self.seen, self.newest_line, self.trouble

    def tell(self) -> None:
        """Something is new."""
        for listener in self.listeners:
            listener.set()


class Feed:
    """What is watched on one event loop, of one fleet.

    Args:
        fleet: whose runs.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, Watched] = {}
        self._poller: asyncio.Task[None] | None = None
        self._early = asyncio.Event()  # somebody came, or a run has ended: look now

    def __len__(self) -> int:
        return len(self._watched)

    @asynccontextmanager
    async def watch(self, run_id: str) -> AsyncIterator[Watched]:
        """Inside the block ``ended`` is set as soon as the run has ended. Holds no thread, however many watch.

        Raises:
            BrokerError: the store does not answer.
        """
        watched = self._watched.get(run_id) or self._watched.setdefault(run_id, Watched(run_id, self.fleet))
        watched.watchers += 1
        try:
            if watched.registering is None:
                watched.registering = asyncio.create_task(self._register(watched))
            await asyncio.shield(watched.registering)
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._forget(watched)

    async def _register(self, watched: Watched) -> None:
        def ended(_: Any) -> None:
            with suppress(RuntimeError):  # this loop is closed
                self._loop.call_soon_threadsafe(self._has_ended, watched)

        watched.future._on_end(ended)
        await asyncio.to_thread(attach, [watched.future])

    def _has_ended(self, watched: Watched) -> None:
        watched.ended.set()
        self._early.set()

    def _forget(self, watched: Watched) -> None:
        if self._watched.get(watched.run_id) is watched:
            del self._watched[watched.run_id]
        if watched.registering is not None:
            watched.registering.add_done_callback(partial(self._detach, watched))
        self._early.set()  # the poller ends when nobody is left

    def _detach(self, watched: Watched, registering: asyncio.Task[None]) -> None:
        if not registering.cancelled():
            registering.exception()  # whoever waited for it has been told, or has left
        self.fleet.detach(watched.future)

    @asynccontextmanager
    async def listen(self, run_id: str) -> AsyncIterator[tuple[Watched, asyncio.Event]]:
        """:meth:`watch`, and an event that is set whenever something is new of the run."""
        async with self.watch(run_id) as watched:
            news = asyncio.Event()
            watched.listeners.add(news)
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            if watched.seen is None:
                self._early.set()
            else:
                news.set()
            try:
                yield watched, news
            finally:
                watched.listeners.discard(news)

    # -- looking -------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while live := self._listened():
            self._early.clear()
            before = [watched.facts for watched in live]
            try:
                await asyncio.to_thread(self._look, live)
            except BrokerError as error:
                for watched in live:
                    watched.trouble = str(error)
            except Exception:
                log.exception("the runs that clients watch could not be looked at")
            stops = server_stops()
            for watched, facts in zip(live, before, strict=True):
                if stops or watched.facts != facts:
                    watched.tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._early.wait()

    def _listened(self) -> list[Watched]:
        return [watched for watched in self._watched.values() if watched.listeners]

    def _look(self, live: Iterable[Watched]) -> None:
        """Blocks; in a thread. The records first: the log lines of an ended run are all there."""
        live = [watched for watched in live if watched.seen is None or not watched.seen.ended]
        run_ids = [watched.run_id for watched in live]
        seen = look_at(self.fleet, run_ids)
        newest = self.fleet.logs.newest(run_ids)
        for watched in live:
            if newest.get(watched.run_id) != watched.newest_line:
                watched.lines = [Line(*line) for line in self.fleet.logs.read(watched.run_id)]
                watched.newest_line = newest.get(watched.run_id)
            watched.seen, watched.trouble = seen[watched.run_id], None


_feeds: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = weakref.WeakKeyDictionary()


def current_feed() -> Feed:
    """The feed of this event loop and of the process's fleet."""
    loop, fleet = asyncio.get_running_loop(), current_fleet()
    feed = _feeds.get(loop)
    if feed is None or feed.fleet is not fleet:
        feed = _feeds[loop] = Feed(fleet)
    return feed


def server_stops() -> bool:
    """Whether the uvicorn around us was asked to stop: it waits for every open stream then, and would for ever."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
