"""The coroutines of one event loop that wait until their calls are sent.

The thread that has sent calls wakes all who wait for them in one hop to the loop, and one timer looks after the time of
all: per call that would cost more than the rest of sending it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from brokers.parcel import Parcel, Waiter


class LoopWaiters:
    """For one event loop; :meth:`notify` for any thread, the others for the loop's.

    Args:
        loop: it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._sent: deque[Parcel] = deque()
        self._is_called = False  # the loop will look at them
        self._waiting: deque[Parcel] = deque()  # in the order in which their time ends
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, parcel: Parcel, waiter: Waiter) -> None:
        """Before the parcel waits to be sent: the waiter gets its result when that is done, or its time is over."""
        waiting = self._waiting
        while waiting and waiting[0].done:
            waiting.popleft()
        waiting.append(parcel)
        if self._timer is None:
            self._timer = self.loop.call_later(waiting[0].until - time.monotonic(), self._look)
        parcel.waiter = waiter
        parcel.notify = self.notify

    def notify(self, parcel: Parcel) -> None:
        """The parcel is done. Raises RuntimeError: the loop is closed."""
        self._sent.append(parcel)
        if not self._is_called:
            self._is_called = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_called = False
        while self._sent:
            _wake(self._sent.popleft())

    def _look(self) -> None:
        """Whose time is over goes on without an answer."""
        now, waiting = time.monotonic(), self._waiting
        while waiting and (waiting[0].done or waiting[0].until <= now):
            _wake(waiting.popleft())
        self._timer = self.loop.call_later(waiting[0].until - now, self._look) if waiting else None


def _wake(parcel: Parcel) -> None:
    waiter = parcel.waiter
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


Waiters = TypeVar("Waiters", bound=LoopWaiters)


class LoopsOfThreads(Generic[Waiters]):
    """The waiters of the loop that runs in the thread that asks.

    Args:
        new: makes those of a loop.
    """

    def __init__(self, new: Callable[[asyncio.AbstractEventLoop], Waiters]) -> None:
        self._new = new
        self._of_thread = threading.local()

    def here(self) -> Waiters:
        """Those of this thread's loop."""
        loop = asyncio.get_running_loop()
        waiters: Waiters | None = getattr(self._of_thread, "waiters", None)
        if waiters is None or waiters.loop is not loop:
            waiters = self._of_thread.waiters = self._new(loop)
        return waiters
