"""A task that waits for other runs lends its place out meanwhile, so that nested submits cannot deadlock.

Whoever waits (futures) need not know what runs the call (slots, a local task runner): the place of the call around a
line is found here. It belongs to the whole call: to its thread, its asyncio tasks, ``asyncio.to_thread``, and threads
that it starts. It is lent with the first wait among them, and taken back with the last.

Where a place means a flow run at work (a served deployment's ``limit``), it is lent only while its run waits for
another run of a deployment, wherever that runs: who waits for one says where it is queued (``waiting_for``).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from brokers.schema import stays_in_store


class LendableThreads(Protocol):
    """Threads that run something in a limited number of places."""

    def lend(self) -> None:
        """Let another one run in one of its places."""

    def take_back(self) -> None:
        """Block until a place is free again, and take it."""

    def take_at_once(self) -> None:
        """Go on without waiting for a place: one runs more than there are places, until one ends."""


class Lendable(LendableThreads, Protocol):
    """What runs calls in a limited number of places."""

    async def take_back_async(self) -> None:
        """The same on an event loop."""


class Place:
    """Where one call runs, until :meth:`close`.

    Args:
        lane: what the place is one of.
        lent_to: the queues whose runs it is lent to; ``None``: whatever the call waits for.
    """

    __slots__ = ("_waits", "lane", "lent_to", "over")

    def __init__(self, lane: Lendable, lent_to: frozenset[str] | None = None) -> None:
        self.lane, self.lent_to = lane, lent_to
        self.over = False
        self._waits = 0

    @property
    def run_id(self) -> str | None:
        """The run that the call is, if the store knows it."""
        return None

    @property
    def is_sent_by_a_run(self) -> bool:
        """Whether another run has sent the call, which may wait for it."""
        return False

    @property
    def lent(self) -> bool:
        """Whether something in the call waits."""
        return self._waits > 0

    def lend(self) -> bool:
        """Something in the call waits. Whether :meth:`take_back` has to follow."""
        if self.lent_to is not None and not _needs_a_place(awaited_queue.get(), self.lent_to):
            return False
        with _lock:
            if self.over:
                return False
            self._waits += 1
            first = self._waits == 1
        if first:
            self.lane.lend()
        return True

    def take_back(self) -> None:
        """That wait is over; blocks until there is a place, if it was the last one."""
        if self._is_last():
            self.lane.take_back()

    def take_at_once(self) -> None:
        """That wait has failed or was interrupted: what is about to end does not wait for a place."""
        if self._is_last():
            self.lane.take_at_once()

    async def take_back_async(self) -> None:
        """:meth:`take_back` on an event loop."""
        if self._is_last():
            await self.lane.take_back_async()

    def _is_last(self) -> bool:
        with _lock:
            if self.over:
                return False
            self._waits -= 1
            return self._waits == 0

    def close(self) -> bool:
        """The call has ended. Whether its place is lent at this moment: something that it started still waits."""
        with _lock:
            self.over = True
            return self._waits > 0


def _needs_a_place(queue: str | None, lent_to: frozenset[str]) -> bool:
    """Whether a run of this queue needs a place of flow runs: here, or at others who may wait for runs of ours."""
    return queue is not None and (queue in lent_to or stays_in_store(queue))


class _ThisThread(threading.local):
    shared_loop: asyncio.AbstractEventLoop | None = None  # which this thread runs, with all async calls of a worker
    executor: LendableThreads | None = None  # in a place of which this thread runs, beside the place of the call


this_thread = _ThisThread()
current_place: ContextVar[Place | None] = ContextVar("orchestrator_place", default=None)
awaited_queue: ContextVar[str | None] = ContextVar("orchestrator_awaited_queue", default=None)
_lock = threading.Lock()  # of all places; held for a few bytecodes
_STARTED_IN = "_orchestrator_started_in"  # attribute of a thread: the place of the call that started it
_real_start = threading.Thread.start


def place_here() -> Place | None:
    """The place of the call around this line, ``None`` outside of calls or where that call has ended."""
    place = current_place.get() or getattr(threading.current_thread(), _STARTED_IN, None)
    return place if place is not None and not place.over else None


def lends_here() -> bool:
    """Whether a wait in this line lends a place, or must not be."""
    return place_here() is not None or this_thread.executor is not None or this_thread.shared_loop is not None


@contextmanager
def waiting_for(queue: str) -> Iterator[None]:
    """Waits in the block are for runs of this queue, so that a place that is lent to such runs only is lent to them.

    >>> with waiting_for("s-0123456789ab"):
    ...     awaited_queue.get()
    's-0123456789ab'
    """
    token = awaited_queue.set(queue)
    try:
        yield
    finally:
        awaited_queue.reset(token)


def follow_threads() -> None:
    """From now on threads that a call starts are known to belong to it. For whoever runs calls in places."""
    threading.Thread.start = _start  # type: ignore[method-assign, assignment]


def _start(thread: threading.Thread) -> None:
    place = current_place.get() or getattr(threading.current_thread(), _STARTED_IN, None)
    if place is not None:
        setattr(thread, _STARTED_IN, place)
    _real_start(thread)


@contextmanager
def slot_lent() -> Iterator[None]:
    """Lend the place of the call around this line, if there is one, for the length of the block.

    Raises:
        RuntimeError: this thread is the event loop of a worker, which must not be blocked.
    """
    if this_thread.shared_loop is not None:
        raise RuntimeError(
            "an async task waits for another run and would block every call on its worker's event loop, "
            "perhaps the very one it waits for: write `await future` (or make the task a plain function)"
        )
    place, executor = place_here(), this_thread.executor
    this_thread.executor = None  # a wait inside the wait lends nothing more
    lent = place is not None and place.lend()
    if executor is not None:
        executor.lend()
    at_once = False
    try:
        yield
    except BaseException:
        at_once = True
        raise
    finally:
        try:
            if lent and place is not None:
                place.take_at_once() if at_once else place.take_back()
        finally:
            if executor is not None:
                executor.take_at_once() if at_once else executor.take_back()
                this_thread.executor = executor


@asynccontextmanager
async def slot_lent_async() -> AsyncIterator[None]:
    """The same for a wait that does not block its event loop."""
    place = place_here()
    if place is None or not place.lend():
        yield
        return
    try:
        yield
    except BaseException:
        place.take_at_once()
        raise
    await place.take_back_async()


def _renew_lock_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that does not exist here may hold the old one


os.register_at_fork(after_in_child=_renew_lock_after_fork)
