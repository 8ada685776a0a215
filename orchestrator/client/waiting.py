"""Waiting for futures: one lock for each waiter, however many futures; nothing polls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from brokers.messages import RunEnd
from brokers.spans import LONGEST_SECONDS
from orchestrator.client import slot_lending as lending
from orchestrator.client.handles import EndCallback, Handle
from orchestrator.client.wakers import Woken


class Latch:
    """Waits for a number of futures; can be opened early by the first failure."""

    __slots__ = ("_gate", "_left", "_lock", "interrupt", "opened_early")

    def __init__(self, count: int) -> None:
        self._left = count
        self.opened_early = False
        self.interrupt: Callable[[], None] | None = None  # of who waits, and reads the inbox meanwhile
        self._gate = threading.Lock()
        self._lock = threading.Lock()
        if count:
            self._gate.acquire()

    def count_down(self, future: Handle) -> None:
        """One future has settled. Called under no lock, from any thread."""
        with self._lock:
            self._left -= 1
            done = self._left == 0
        if done:
            self._open()

    def open_early(self) -> None:
        """Let the waiter go on although not all have settled."""
        with self._lock:
            shut, self._left = self._left > 0, 0
            self.opened_early = self.opened_early or shut
        if shut:
            self._open()

    def _open(self) -> None:
        self._gate.release()
        interrupt = self.interrupt
        if interrupt is not None:
            interrupt()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._left <= 0

    @property
    def gave_up(self) -> bool:
        """Whether somebody has stopped waiting before all had settled."""
        return self._left > 0 or self.opened_early

    def wait(self, timeout: float | None) -> bool:
        """Whether all have settled, within ``timeout`` seconds."""
        if self._left <= 0:
            return True
        with Woken(self.open_early):
            return self._gate.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), LONGEST_SECONDS))


class WaitForOne:
    """The wait for one future, of a thread that reads the inbox meanwhile: see :class:`brokers.base.Wait`.

    Args:
        latch: counts this future alone.
        future: what is waited for.
        settle_only: settles a future by an end, if it is its and nobody but the latch is to be notified.
    """

    __slots__ = ("_future", "_latch", "_settle_only")

    def __init__(
        self, latch: Latch, future: Handle, settle_only: Callable[[Handle, RunEnd, EndCallback], bool]
    ) -> None:
        self._latch, self._future, self._settle_only = latch, future, settle_only

    @property
    def is_over(self) -> bool:
        """Whether the latch is open."""
        return self._latch.is_over

    @property
    def interrupt(self) -> Callable[[], None] | None:
        """What the latch calls when it is opened by somebody else."""
        return self._latch.interrupt

    @interrupt.setter
    def interrupt(self, interrupt: Callable[[], None] | None) -> None:
        self._latch.interrupt = interrupt

    def take(self, end: RunEnd) -> bool:
        """Settle the future by this end, if it is its and nobody else is to be notified."""
        if not self._settle_only(self._future, end, self._latch.count_down):
            return False
        self._latch.count_down(self._future)
        return True


class EarlyLatch:
    """Lets a wait end before all have settled; it belongs to the wait that it is given to."""

    latch: Latch | None = None
    opened = False

    def open_early(self) -> None:
        self.opened = True
        if self.latch is not None:
            self.latch.open_early()


SAY_WHY_AFTER_SECONDS: Final = 3.0
LOOK_AGAIN_SECONDS: Final = 3.0  # for runs that wait for each other; what they say counts for five times as long


def check_timeout(timeout: float | None) -> None:
    """Raise ValueError for a negative number of seconds (or none at all: NaN)."""
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout={timeout} is no time to wait: give seconds from 0 on, or None")


def wait_for_all(
    futures: Iterable[Handle],
    timeout: float | None,
    also: EndCallback | None = None,
    early: EarlyLatch | None = None,
) -> None:
    """Block until all have settled, at most ``timeout`` seconds. A task that waits lends its slot to other calls."""
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    futures = waited_for(futures) if also is None else list(futures)
    open_ = [future for future in futures if not future.settled]
    latch = Latch(len(open_))
    if early is not None:
        early.latch = latch
        if early.opened:
            latch.open_early()
    if also is not None:
        for future in futures:
            future._on_end(also)
    read_here = _reader(open_)
    try:
        if read_here is None:
            for future in open_:
                future._on_end(latch.count_down)
            attach(open_)
        else:  # the other way round: where callbacks wait for the end, the inbox's own thread reads at once
            attach(open_)
            open_[0]._on_end(latch.count_down)
        first = time.monotonic() + SAY_WHY_AFTER_SECONDS
        first = first if deadline is None else min(deadline, first)
        if read_here is not None and not latch.is_over:
            read_here(open_[0], latch, first)
        if not latch.wait(0):
            with lending.slot_lent():
                if not latch.wait(first - time.monotonic()) and (deadline is None or time.monotonic() < deadline):
                    open_[0].source.still_waiting(open_)
                    if deadline is None:
                        _wait_for_ever(latch, open_, any_of=early is not None)
                    else:
                        latch.wait(None if deadline is None else deadline - time.monotonic())
    finally:
        if latch.gave_up:  # whoever asks again and again must not leave something behind each time
            stop_watching([future for future in open_ if not future.settled], latch.count_down, also)


def _reader(futures: Sequence[Handle]) -> Callable[[Handle, Latch, float], None] | None:
    """What lets this thread read the inbox by itself while it waits; ``None`` where it should not.

    It does for one future alone. A task that waits does not: it may have to be interrupted.
    """
    if len(futures) != 1 or hasattr(futures[0], "open_run_ids") or lending.lends_here():
        return None
    return getattr(futures[0].source, "read_here", None)


def waited_for(futures: Iterable[Handle]) -> Sequence[Handle]:
    """What is waited for instead of these: all runs of a map are one thing, for which no handles are made."""
    runs: Handle | None = getattr(futures, "whole", None)
    return list(futures) if runs is None else [runs]


def _wait_for_ever(latch: Latch, futures: Sequence[Handle], any_of: bool) -> None:
    """Wait without a timeout, unless it is found that the wait would never end. Raises LimitDeadlock."""
    while may_stand_still(futures, any_of):
        if latch.wait(LOOK_AGAIN_SECONDS):
            return
    latch.wait(None)


def may_stand_still(futures: Iterable[Handle], any_of: bool = False) -> bool:
    """Whether the runs that are open still may wait for the run around this line.

    Args:
        futures: what is waited for, without a timeout.
        any_of: whether the end of one of them is enough.

    Raises:
        LimitDeadlock: this wait would never end.
    """
    parts = by_source([future for future in futures if not future.settled])
    if any_of and len(parts) > 1:
        return False
    may = False
    for some in parts:  # all of them are asked: each may find a standstill
        may = some[0].source.look_for_standstill(some, any_of) or may
    return may


def stop_watching(futures: Sequence[Handle], *callbacks: EndCallback | None) -> None:
    """Whoever waited for these has given up: neither callbacks nor handles of theirs are kept."""
    for future in futures:
        for callback in callbacks:
            if callback is not None:
                future._forget(callback)
    for some in by_source(futures):
        some[0].source.stop_watching(some)


def attach(futures: Sequence[Handle]) -> None:
    """Make sure that these futures will be settled when their runs end."""
    for some in by_source(futures):
        some[0].source.attach(some)


def by_source(futures: Sequence[Handle]) -> Collection[Sequence[Handle]]:
    """The futures, those of one source together."""
    found: dict[int, list[Handle]] = {}
    for future in futures:
        found.setdefault(id(future.source), []).append(future)
    return found.values()


async def wait_async(futures: Iterable[Handle], timeout: float | None = None) -> None:
    """Like :func:`wait_for_all`, without blocking the event loop. A task that waits lends its slot here, too."""
    open_ = [future for future in waited_for(futures) if not future.settled]
    if not open_:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    left = len(open_)
    lock = threading.Lock()

    def one_less(future: Handle) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    for future in open_:
        future._on_end(one_less)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout), lending.slot_lent_async():
                await asyncio.to_thread(attach, open_)
                with Woken(lambda: _wake_loop(loop)):
                    await _until(done, open_)
    finally:  # also when the wait itself is given up: this loop may be closed by the time the runs end
        if left:
            stop_watching([future for future in open_ if not future.settled], one_less)


def _wake_loop(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(lambda: None)


async def _until(done: asyncio.Event, futures: Sequence[Handle]) -> None:
    try:
        async with asyncio.timeout(SAY_WHY_AFTER_SECONDS) as first_wait:
            await done.wait()
    except TimeoutError:
        if not first_wait.expired():
            raise
        open_ = [future for future in futures if not future.settled]
        if open_:
            await asyncio.to_thread(open_[0].source.still_waiting, open_)
        await _until_the_end(done, futures)


async def _until_the_end(done: asyncio.Event, futures: Sequence[Handle]) -> None:
    """:func:`_wait_for_ever` on a loop; whoever set a timeout ends it from outside."""
    while await asyncio.to_thread(may_stand_still, futures):
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS) as pause:
                await done.wait()
            return
        except TimeoutError:
            if not pause.expired():
                raise
    await done.wait()
