"""Whose turn it is to read an inbox: its own thread's, or that of a thread which waits for what will come.

A thread that waits and reads by itself learns of the end without being woken by another one: two switches of threads
of a call that is sent and waited for alone. The rules:

1. One reads at a time. Who waits takes the turn if it is free, and else waits for whoever has it.
2. The turn is free between two reads of the inbox's thread, if somebody who waited has asked for it in vain, and nobody
   else wants to know at once what comes (it is *quiet*): for :data:`LEFT_SECONDS`, and as long after each reader.
3. Whoever gives the turn back says whether the inbox's thread has to go on at once: something came that is for others,
   or something is to be mended. Only that thread does either. Where others wait, too, the turn is not left to anybody
   for :data:`CROWDED_SECONDS`.
4. A turn that was never given back (a second Ctrl-C may hit the giving back) is taken away.

A reader is known by an object of its own, and locks are held by ``with`` alone: an exception that is raised in a thread
from outside leaves neither taken behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LEFT_SECONDS: Final = 0.01
CROWDED_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 1.0
LOST_AFTER_SECONDS: Final = 30.0  # without a sign: nobody reads for so long without one


class InboxTurn:
    """The turn of one inbox.

    Args:
        is_quiet: whether nobody but those who wait, and may read by themselves, wants to know at once what comes.
        on_lost: called when a turn is taken away from a reader, who may not be gone: its connection is not to be used.
    """

    def __init__(self, is_quiet: Callable[[], bool], on_lost: Callable[[], object] = lambda: None) -> None:
        self._is_quiet, self._on_lost = is_quiet, on_lost
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # open: the inbox's thread is to look
        self._bell.acquire()
        self._reader: object | None = None
        self._signed_at = 0.0
        self._left_until = self._kept_until = 0.0
        self._wanted = False
        self._asleep = False  # the inbox's thread, until the bell rings
        self._closed = False

    # -- a thread that waits -------------------------------------------------------------------------------------

    def take(self, reader: object) -> bool:
        """Whether this reader has the turn now; returns at once."""
        with self._lock:
            if self._reader is not None or self._closed:
                self._wanted = True
                return False
            self._reader, self._signed_at, self._left_until = reader, time.monotonic(), 0.0
            return True

    def sign(self, reader: object) -> bool:
        """The reader is alive; whether it still has the turn."""
        self._signed_at = time.monotonic()
        return self._reader is reader

    def give(self, reader: object, *, at_once: bool) -> None:
        """The reader, if it has the turn, reads no more; ``at_once``: the inbox's thread has to go on."""
        if self._reader is not reader:
            return
        is_crowded = not self._is_quiet()
        with self._lock:
            if self._reader is not reader:
                return
            now = time.monotonic()
            if is_crowded:
                self._kept_until = now + CROWDED_SECONDS
            self._reader = None
            self._left_until = 0.0 if at_once or is_crowded else now + LEFT_SECONDS
            if at_once or is_crowded or self._asleep:
                self._ring()

    def interrupt(self, reader: object, interrupt: Callable[[], None]) -> None:
        """Call this while the reader has the turn; nothing, if it has it no more."""
        with self._lock:
            if self._reader is reader:
                interrupt()

    # -- the inbox's thread --------------------------------------------------------------------------------------

    def wait(self) -> bool:
        """Block until it is the turn of the inbox's thread; False once the turn is closed."""
        seen: object | None = None
        while True:
            with self._lock:
                if self._closed:
                    return False
                now = time.monotonic()
                is_lost = self._is_lost(now)
                if is_lost:
                    self._on_lost()
                if is_lost or self._is_free(now):
                    self._reader, self._left_until = self, 0.0
                    return True
                self._asleep = self._reader is not None and self._reader is seen
                seen = self._reader
                seconds = LOOK_SECONDS if self._asleep else max(self._left_until - now, LEFT_SECONDS)
            self._bell.acquire(timeout=seconds)

    def _is_free(self, now: float) -> bool:
        return self._reader is self or (self._reader is None and now >= self._left_until)

    def _is_lost(self, now: float) -> bool:
        return self._reader not in (None, self) and now - self._signed_at > LOST_AFTER_SECONDS

    def leave(self) -> None:
        """The inbox's thread has read once: whoever waits may do it now."""
        leave = self._wanted and self._is_quiet()
        with self._lock:
            now = time.monotonic()
            self._reader = None
            self._wanted = False
            self._left_until = now + LEFT_SECONDS if leave and now >= self._kept_until else 0.0

    def listen(self) -> None:
        """Somebody else wants to know at once what comes."""
        if self._left_until:
            with self._lock:
                self._left_until = 0.0
                self._ring()

    def close(self) -> None:
        """Nobody takes the turn any more."""
        with self._lock:
            self._closed = True
            self._ring()

    def _ring(self) -> None:
        if self._bell.locked():
            self._bell.release()
