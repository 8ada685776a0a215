"""Threads that others rely on: none of them may end before its owner stops it, whatever is raised in it.

A thread that dies in silence leaves others waiting for ever. Most of ours go on by themselves after the errors that
they expect; this is for all others, among them SystemExit and KeyboardInterrupt out of code that is not ours.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

log = logging.getLogger("orchestrator.threads")
PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0


class AutoResetEvent:
    """An event for one thread that waits, cleared by its waiting; a third cheaper than ``threading.Event``.

    >>> event = AutoResetEvent()
    >>> event.set(), event.set(), event.is_set, event.wait(), event.wait(0)
    (None, None, True, True, False)
    """

    __slots__ = ("_is_clear",)

    def __init__(self) -> None:
        self._is_clear = threading.Lock()
        self._is_clear.acquire()

    def set(self) -> None:
        """From any thread; to set it again changes nothing."""
        if self._is_clear.locked():
            with suppress(RuntimeError):  # another one sets it just now
                self._is_clear.release()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, and clear it; whether it was set within so many seconds."""
        return self._is_clear.acquire(timeout=-1 if seconds is None else seconds)

    @property
    def is_set(self) -> bool:
        """Whether the thread that waits is to look."""
        return not self._is_clear.locked()


def unending(run: Callable[[], None]) -> Callable[[], None]:
    """``run``, begun again after a pause whenever it raises; it ends only by returning."""

    @functools.wraps(run)
    def keep_running() -> None:
        pause = PAUSE_SECONDS
        while True:
            begun = time.monotonic()
            try:
                return run()
            except BaseException:
                log.exception("the thread %s failed; it goes on", threading.current_thread().name)
            pause = PAUSE_SECONDS if time.monotonic() - begun > LONGEST_PAUSE_SECONDS else pause
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    return keep_running


def is_interruption(error: BaseException) -> bool:
    """Whether the error interrupts the thread, by Ctrl-C, a cancellation or the end of its task's time.

    A TimeoutError is none of ours (those are BrokerErrors).
    """
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)
