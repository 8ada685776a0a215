"""One poll of the store for all clients that watch runs.

A process polls twice a second, in one round trip for all watched runs, however many clients watch them. The end of a
run is not polled for: it arrives in the process's inbox at once.
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

from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.waiting import attach
from orchestrator.contrib.starlette.status import RunSnapshot, read_snapshots
from orchestrator.errors import BrokerError
from orchestrator.futures import PrefectFuture
from orchestrator.observability.log_shipper import LogLine

log = logging.getLogger("orchestrator.web")
POLL_SECONDS: Final = 0.5


class Line(LogLine):
    """A log line and its mark, which a client sends back when it reconnects."""

    @property
    def mark(self) -> str:
        """The line's id, the same in every process."""
        text = f"{self.timestamp.timestamp():.6f} {self.level} {self.message}"
        return hashlib.sha1(text.encode("utf-8", "replace")).hexdigest()[:12]


class WatchedRun:
    """A run that clients watch.

    Attributes:
        snapshot: what the last poll read; ``None`` before the first.
        lines: its kept log lines.
        error: why the last poll failed.
    """

    def __init__(self, run_id: str, fleet: Fleet) -> None:
        self.run_id = run_id
        self.future: PrefectFuture[Any] = PrefectFuture(run_id, source=fleet)
        self.ended = asyncio.Event()
        self.registration: asyncio.Task[None] | None = None
        self.snapshot: RunSnapshot | None = None
        self.lines: list[Line] = []
        self.newest_line: bytes | None = b"?"
        self.error: str | None = None
        self.watchers = 0
        self.listeners: set[asyncio.Event] = set()

    @property
    def facts(self) -> tuple[object, ...]:
        """Everything whose change is announced to listeners."""
        return self.snapshot, self.newest_line, self.error

    def notify(self) -> None:
        """Wake all listeners."""
        for listener in self.listeners:
            listener.set()


class Feed:
    """The watched runs of one fleet on one event loop.

    Args:
        fleet: the fleet that keeps the runs.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, WatchedRun] = {}
        self._poller: asyncio.Task[None] | None = None
        self._poll_now = asyncio.Event()  # a listener came, or a run has ended: poll now

    def __len__(self) -> int:
        return len(self._watched)

    @asynccontextmanager
    async def watch(self, run_id: str) -> AsyncIterator[WatchedRun]:
        """Watch a run: within the block, ``ended`` is set as soon as the run ends. Holds no thread, however many watch.

        Raises:
            BrokerError: the store does not answer.
        """
        watched = self._watched.get(run_id) or self._watched.setdefault(run_id, WatchedRun(run_id, self.fleet))
        watched.watchers += 1
        try:
            if watched.registration is None:
                watched.registration = asyncio.create_task(self._register(watched))
            await asyncio.shield(watched.registration)
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._release(watched)

    async def _register(self, watched: WatchedRun) -> None:
        def ended(_: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._mark_ended, watched)

        watched.future._on_end(ended)
        await asyncio.to_thread(attach, [watched.future])

    def _mark_ended(self, watched: WatchedRun) -> None:
        watched.ended.set()
        self._poll_now.set()

    def _release(self, watched: WatchedRun) -> None:
        if self._watched.get(watched.run_id) is watched:
            del self._watched[watched.run_id]
        if watched.registration is not None:
            watched.registration.add_done_callback(partial(self._detach, watched))
        self._poll_now.set()  # the poller ends when nobody is left

    def _detach(self, watched: WatchedRun, registration: asyncio.Task[None]) -> None:
        if not registration.cancelled():
            registration.exception()  # every waiter has received it, or has left
        self.fleet.open_futures.detach(watched.future)

    @asynccontextmanager
    async def listen(self, run_id: str) -> AsyncIterator[tuple[WatchedRun, asyncio.Event]]:
        """:meth:`watch`, and an event that is set whenever the run changes."""
        async with self.watch(run_id) as watched:
            changed = asyncio.Event()
            watched.listeners.add(changed)
            if self._poller is None or self._poller.done():
                self._poller = asyncio.create_task(self._poll())
            if watched.snapshot is None:
                self._poll_now.set()
            else:
                changed.set()
            try:
                yield watched, changed
            finally:
                watched.listeners.discard(changed)

    # -- polling -------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while live := self._with_listeners():
            self._poll_now.clear()
            before = [watched.facts for watched in live]
            try:
                await asyncio.to_thread(self._read, live)
            except BrokerError as error:
                for watched in live:
                    watched.error = str(error)
            except Exception:
                log.exception("could not poll the watched runs")
            stopping = server_is_stopping()
            for watched, facts in zip(live, before, strict=True):
                if stopping or watched.facts != facts:
                    watched.notify()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._poll_now.wait()

    def _with_listeners(self) -> list[WatchedRun]:
        return [watched for watched in self._watched.values() if watched.listeners]

    def _read(self, live: Iterable[WatchedRun]) -> None:
        """Read records, then log lines, so that those of an ended run are complete. Blocks: runs in a thread."""
        live = [watched for watched in live if watched.snapshot is None or not watched.snapshot.ended]
        run_ids = [watched.run_id for watched in live]
        snapshots = read_snapshots(self.fleet, run_ids)
        newest = self.fleet.logs.newest(run_ids)
        for watched in live:
            if newest.get(watched.run_id) != watched.newest_line:
                watched.lines = [Line(*line) for line in self.fleet.logs.read(watched.run_id)]
                watched.newest_line = newest.get(watched.run_id)
            watched.snapshot, watched.error = snapshots[watched.run_id], None


_feeds: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = weakref.WeakKeyDictionary()


def current_feed() -> Feed:
    """The feed of this event loop and the process's fleet."""
    loop, fleet = asyncio.get_running_loop(), current_fleet()
    feed = _feeds.get(loop)
    if feed is None or feed.fleet is not fleet:
        feed = _feeds[loop] = Feed(fleet)
    return feed


def server_is_stopping() -> bool:
    """Whether the surrounding uvicorn is shutting down: it then waits for every open stream, and would for ever."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
