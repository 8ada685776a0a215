"""Threads for the done callbacks of users: one that waits, submits or raises holds up no other run's end.

The ends of all runs of a process come in one thread (``fleet``); what users hang on them is run here instead. The
callbacks of one future run one after another, in the order in which they were added.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.client import slot_lending as lending
from orchestrator.client.handles import EndCallback, Handle

log = logging.getLogger("orchestrator.futures")
MAX_THREADS: Final = 32  # beside those whose callback waits for another run
IDLE_SECONDS: Final = 5.0


class UserCallback:
    """A callback that somebody outside has added."""

    __slots__ = ("fn",)

    def __init__(self, fn: EndCallback) -> None:
        self.fn = fn


class CallbackThreads:
    """As many threads as there is to do at once; none when there is nothing."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._news = threading.Condition()
        self._threads = self._idle = self._lent = 0

    def run(self, future: Handle, callbacks: list[UserCallback]) -> None:
        """Have these called soon; returns at once."""

        def job() -> None:
            for callback in callbacks:
                call_back(callback.fn, future)

        with self._news:
            self._jobs.append(job)
            self._see_to_a_thread()

    def _see_to_a_thread(self) -> None:  # holds the condition
        if self._idle >= len(self._jobs):
            self._news.notify()
        elif self._threads - self._lent < MAX_THREADS:
            self._threads += 1
            threading.Thread(target=self._run, name="done-callbacks", daemon=True).start()

    def lend(self) -> None:
        """The callback of this thread waits for another run, whose own callbacks may need a thread."""
        with self._news:
            self._lent += 1
            if self._jobs:
                self._see_to_a_thread()

    def take_back(self) -> None:
        """The callback goes on."""
        with self._news:
            self._lent -= 1

    def take_at_once(self) -> None:
        """The same: nobody waits for a place here."""
        self.take_back()

    def _run(self) -> None:
        lending.this_thread.executor = self
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self._news:
            self._idle += 1
            try:
                while not self._jobs:
                    if not self._news.wait(IDLE_SECONDS) and not self._jobs:
                        self._threads -= 1
                        return None
                return self._jobs.popleft()
            finally:
                self._idle -= 1


def call_back(
    callback: EndCallback,
    future: Handle,
    errors: type[BaseException] = BaseException,
) -> None:
    """Call it; what it raises is logged: all of it in a thread that must go on."""
    try:
        callback(future)
    except errors:
        log.exception("a done callback of run %s failed", future.run_id)


class _Reminder:
    """Says why nothing happens to futures that have callbacks; nobody may be blocked on them. One thread, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: list[tuple[float, Handle]] = []
        self._running = False

    def add(self, future: Handle, after_seconds: float) -> None:
        with self._lock:
            self._futures.append((time.monotonic() + after_seconds, future))
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="done-callbacks-reminder", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._futures = [(due, future) for due, future in self._futures if not future.settled]
                if not self._futures:
                    self._running = False
                    return
                wait = self._futures[0][0] - time.monotonic()
                due_ones = [future for due, future in self._futures if due <= time.monotonic()]
                if due_ones:
                    self._futures = [pair for pair in self._futures if pair[0] > time.monotonic()]
            if due_ones:
                self._say_why(due_ones)
            else:
                time.sleep(max(wait, 0.01))

    @staticmethod
    def _say_why(futures: Sequence[Handle]) -> None:
        try:
            futures[0].source.still_waiting(futures)
        except Exception:
            log.exception("it could not be found out why %d runs have not ended", len(futures))


threads = CallbackThreads()
reminder = _Reminder()


def _renew_after_fork() -> None:
    global threads, reminder
    threads, reminder = CallbackThreads(), _Reminder()  # the parent's threads are not here


os.register_at_fork(after_in_child=_renew_after_fork)
