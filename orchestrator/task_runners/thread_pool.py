"""Threads with a limited number of places, which those that wait for other runs lend out."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from orchestrator.client.slot_lending import this_thread
from orchestrator.client.wakers import Woken

T = TypeVar("T")
MAX_THREADS: Final = 100_000  # those that wait occupy no place, but a thread each


class LendingExecutor(ThreadPoolExecutor):
    """At most ``places`` calls run at once; those that have lent their place do not count.

    Args:
        places: how many; as many as ``concurrent.futures`` would have threads, unless given.
        thread_name_prefix: of its threads.
        lend_by_thread: whoever waits in one of its threads lends the thread's place, beside that of the call around it.
    """

    def __init__(self, places: int | None = None, thread_name_prefix: str = "", lend_by_thread: bool = False) -> None:
        super().__init__(MAX_THREADS, thread_name_prefix)
        self._free = places or min(32, (os.cpu_count() or 1) + 4)
        self._by_thread = lend_by_thread
        self._returning = 0
        self._queued: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._changed = threading.Condition()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As any executor. Raises RuntimeError when it has been shut down."""
        future: Future[T] = Future()
        with self._changed:
            if self._free <= 0 or self._returning:
                self._queued.append((future, lambda: fn(*args, **kwargs)))
                return future
            self._free -= 1
        self._begin(future, lambda: fn(*args, **kwargs))
        return future

    def _begin(self, future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            super().submit(self._run, future, call)
        except BaseException:
            self.lend()
            raise

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if self._by_thread:
            this_thread.executor = self
        try:
            if future.set_running_or_notify_cancel():
                try:
                    value = call()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(value)
        finally:
            this_thread.executor = None
            self.lend()

    def lend(self) -> None:
        """A place is free: for one who comes back from a wait, else for the next call."""
        with self._changed:
            if self._returning or not self._queued:
                self._free += 1
                self._changed.notify()
                return
            queued = self._queued.popleft()
        self._begin(*queued)

    def take_back(self) -> None:
        """Block until there is a place, before new calls."""
        with self._changed, Woken(self._wake):
            self._returning += 1
            try:
                while self._free <= 0:
                    self._changed.wait()
            finally:  # whoever is interrupted here goes on with one that is missing for a while
                self._returning -= 1
                self._free -= 1
                queued = self._queued.popleft() if self._free > 0 and self._queued and not self._returning else None
                if queued:
                    self._free -= 1
        if queued:
            self._begin(*queued)

    def take_at_once(self) -> None:
        """Go on, whether there is a place or not."""
        with self._changed:
            self._free -= 1

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def take_back_async(self) -> None:
        """The same for a call that runs an event loop of its own."""
        await asyncio.to_thread(self.take_back)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As any executor; calls that wait for a place are run before, or cancelled."""
        with self._changed:
            queued = list(self._queued) if cancel_futures else []
            if cancel_futures:
                self._queued.clear()
        for future, _ in queued:
            future.cancel()
        super().shutdown(wait, cancel_futures=cancel_futures)
