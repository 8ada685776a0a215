"""Waiting for futures: one lock for each waiter, however many futures; nothing polls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from orchestrator import lending

if TYPE_CHECKING:
    from orchestrator.futures import PrefectFuture

Callback: TypeAlias = "Callable[[PrefectFuture[Any]], Any]"


class Latch:
    """Waits for a number of futures; opened early by the first failure if asked to."""

    __slots__ = ("_gate", "_left", "_lock")

    def __init__(self, count: int) -> None:
        self._left = count
        self._gate = threading.Lock()
        self._lock = threading.Lock()
        if count:
            self._gate.acquire()

    def count_down(self, future: PrefectFuture[Any]) -> None:
        """One future has settled. Called under no lock, from any thread."""
        with self._lock:
            self._left -= 1
            done = self._left == 0
        if done:
            self._gate.release()

    def open_early(self) -> None:
        """Let the waiter go on although not all have settled."""
        with self._lock:
            shut, self._left = self._left > 0, 0
        if shut:
            self._gate.release()

    def wait(self, timeout: float | None) -> bool:
        """Whether all have settled, within ``timeout`` seconds."""
        if self._left <= 0:
            return True
        return self._gate.acquire(timeout=-1 if timeout is None else max(timeout, 0))


class EarlyLatch:
    """Lets a wait end before all have settled; it belongs to the wait that it is given to."""

    latch: Latch | None = None

    def open_early(self) -> None:
        if self.latch is not None:
            self.latch.open_early()


SAY_WHY_AFTER_SECONDS: Final = 3.0


def wait_for_all(
    futures: Iterable[PrefectFuture[Any]],
    timeout: float | None,
    also: Callback | None = None,
    early: EarlyLatch | None = None,
) -> None:
    """Block until all have settled, at most ``timeout`` seconds. A task that waits lends its slot to other calls."""
    deadline = None if timeout is None else time.monotonic() + timeout
    futures = list(futures)
    open_ = [future for future in futures if not future.settled]
    latch = Latch(len(open_))
    if early is not None:
        early.latch = latch
    if also is not None:
        for future in futures:
            future._on_end(also)
    for future in open_:
        future._on_end(latch.count_down)
    try:
        attach(open_)
        left = None if deadline is None else deadline - time.monotonic()
        first = SAY_WHY_AFTER_SECONDS if left is None else min(left, SAY_WHY_AFTER_SECONDS)
        if not latch.wait(0):
            with lending.slot_lent():
                if not latch.wait(first) and (deadline is None or time.monotonic() < deadline):
                    open_[0].source.still_waiting(open_)
                    latch.wait(None if deadline is None else deadline - time.monotonic())
    finally:
        if latch._left > 0:
            for future in open_:
                future._forget(latch.count_down)


def attach(futures: list[PrefectFuture[Any]]) -> None:
    """Make sure that these futures will be settled when their runs end."""
    by_source: dict[int, list[PrefectFuture[Any]]] = {}
    for future in futures:
        by_source.setdefault(id(future.source), []).append(future)
    for some in by_source.values():
        some[0].source.attach(some)


async def wait_async(futures: Iterable[PrefectFuture[Any]], timeout: float | None = None) -> None:
    """Like :func:`wait_for_all`, without blocking the event loop."""
    open_ = [future for future in futures if not future.settled]
    if not open_:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    left = len(open_)
    lock = threading.Lock()

    def one_less(future: PrefectFuture[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            loop.call_soon_threadsafe(done.set)

    for future in open_:
        future._on_end(one_less)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.to_thread(attach, open_)
                await done.wait()
    finally:  # also when the wait itself is given up: this loop may be closed by the time the runs end
        if left:
            for future in open_:
                future._forget(one_less)
