"""How many async calls run at once on an event loop, and who waits for a place there."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class LoopPlaces:
    """Places for calls; those who come back from a wait go first. Safe to use from several threads.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self._returning: deque[Callable[[], None]] = deque()  # those who lent their place and want one: first in line
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """How many more calls may begin; less than none when those who were handed over begin all at once."""
        return self.count - self.taken

    def occupy(self, count: int) -> None:
        """So many calls are handed to the loop."""
        with self._changed:
            self.taken += count

    def vacate(self, count: int) -> None:
        """They were not, after all."""
        with self._changed:
            self.taken -= count

    def free_one(self) -> None:
        """A place is free: for one who comes back from a wait, else for a new call."""
        with self._changed:
            if self._returning:
                return self._returning.popleft()()
            self.taken -= 1
            if self.taken in (0, self.count - 1):  # what others wait for
                self._changed.notify_all()

    def wake(self) -> None:
        """Have those who wait for places look whether they still need to."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_room(self, given_up: Callable[[], bool]) -> None:
        """Block until a call may begin, or nobody wants to begin one any more."""
        with self._changed:
            self._changed.wait_for(lambda: self.taken < self.count or given_up())

    def wait_until_empty(self, given_up: Callable[[], bool], seconds: float | None = None) -> bool:
        """Whether nothing runs any more; False when it was given up before, or the time is over."""
        with self._changed:
            over = self._changed.wait_for(lambda: self.taken == 0 or given_up(), seconds)
            return over and not given_up()

    # -- calls that come back from a wait ------------------------------------------------------------------------

    def _takes_now(self, granted: Callable[[], None]) -> bool:
        """Whether there was a place; else ``granted`` is called with the lock held when there is one."""
        with self._changed:
            if self.taken < self.count:
                self.taken += 1
                return True
            self._returning.append(granted)
            return False

    def take_back(self) -> None:
        """Block until there is a place, before new calls. For threads of a call (``asyncio.to_thread``)."""
        granted = threading.Event()
        if not self._takes_now(granted.set):
            granted.wait()

    async def take_back_async(self) -> None:
        """Wait until there is a place, before new calls; whoever is cancelled meanwhile goes on without waiting."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def grant() -> None:
            with suppress(RuntimeError):  # that loop is closed: then the place is given back when the call ends
                loop.call_soon_threadsafe(wake)

        if self._takes_now(grant):
            return
        try:
            await waiter
        except asyncio.CancelledError:
            with self._changed:
                if grant in self._returning:
                    self._returning.remove(grant)
                    self.taken += 1
            raise
