"""Interrupting running sync code: an exception raised inside it, from another thread.

In the main thread a signal does it, which also wakes code that sleeps or waits in the operating system. In any other
thread Python can only raise between two bytecodes: our own waits are woken, so that they end (``client.wakers``); other
code that sits in C is not reached, and is the supervisor's to kill.
SIGURG is used because it is ignored by default: a stray one does no harm.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from brokers.spans import LONGEST_SECONDS
from brokers.threads import unending
from orchestrator.client import wakers
from orchestrator.errors import RunCancelled, TaskTimeout

_SIGNAL = getattr(signal, "SIGURG", None)
_main_thread_id = threading.main_thread().ident


class CancelRun(BaseException):
    """Raised inside a running sync task that is being cancelled; not an Exception, so that ``except Exception`` lets
    it pass."""

    def __init__(self, message: str = "the run was cancelled while it ran") -> None:
        super().__init__(message)

    def as_error(self) -> RunCancelled:
        """What the handle of the run raises."""
        return RunCancelled(str(self))


class Interruptible:
    """A block of user code (``with Interruptible() as block``) that can be interrupted once, by :meth:`raise_in`.

    The exception leaves the block.
    """

    __slots__ = ("_armed", "_lock", "_pending", "_signalled", "_thread")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._armed = True
        self._pending: BaseException | None = None
        self._signalled = self._thread == _main_thread_id and _SIGNAL is not None

    def __enter__(self) -> Interruptible:
        if self._signalled and not _installed:
            install()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.disarm()

    def raise_in(self, error: BaseException) -> bool:
        """Raise in the block, unless it is over or was interrupted already. Whether it will be."""
        with self._lock:
            if not self._armed or self._pending is not None:
                return False
            self._pending = error
            if self._signalled and _SIGNAL is not None:
                _pending_in_main.append(self)
                signal.pthread_kill(self._thread, _SIGNAL)
            else:
                _set_async_exception(self._thread, type(error))
                wakers.wake(self._thread)
        return True

    def disarm(self) -> None:
        """The block is over; called in its thread."""
        self._armed = False  # first of all, and atomically: the signal handler must not wait for the lock
        with self._lock:
            if self._pending is not None and not self._signalled:
                _take_back_async_exception()

    @property
    def cause(self) -> BaseException | None:
        """What it was interrupted with."""
        return self._pending


_pending_in_main: list[Interruptible] = []
_installed = False  # asking the signal module costs 10 us, half of what a small call takes


def _on_signal(signum: int, frame: FrameType | None) -> None:
    while _pending_in_main:
        block = _pending_in_main.pop()
        if block._armed and block._pending is not None:
            raise block._pending


def _set_async_exception(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


class _TakenBack(BaseException):
    """In the place of an exception that has not been raised yet."""


def _take_back_async_exception() -> None:
    """What was to be raised in this thread, and has not been yet, is not any more.

    Python has a way to say so (``PyThreadState_SetAsyncExc`` with NULL), but looks for it at every call of every thread
    from then on, and Python 3.11 never gets further where a profiler, a debugger or coverage looks at the calls. So
    another one takes its place, and is caught.
    """
    with suppress(_TakenBack):
        _set_async_exception(threading.get_ident(), _TakenBack)
        while True:
            pass  # it comes at a jump


def install() -> None:
    """Install the signal handler; for the main thread of a process that runs tasks in it."""
    global _installed
    if _SIGNAL is not None and threading.current_thread() is threading.main_thread():
        signal.signal(_SIGNAL, _on_signal)
        _installed = True


class Deadlines:
    """One thread that interrupts blocks whose time is over; started with the first deadline."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Interruptible, BaseException]] = []
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, seconds: float, block: Interruptible, error: BaseException) -> None:
        """Raise ``error`` in ``block`` after ``seconds``, if it is not over by then."""
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), block, error))
            if self._thread is None:
                self._thread = threading.Thread(target=unending(self._run), name="deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    left = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(None if left is None else min(left, LONGEST_SECONDS))
                _, _, block, error = heapq.heappop(self._heap)
            block.raise_in(error)


deadlines = Deadlines()


@contextmanager
def soft_deadline(seconds: float, what: str) -> Iterator[Interruptible]:
    """Raise TaskTimeout inside the block after ``seconds``.

    >>> with soft_deadline(60, "nothing"):
    ...     pass
    """
    error = TaskTimeout(f"{what} ran longer than {seconds:g} s")
    with Interruptible() as block:
        deadlines.add(seconds, block, error)
        yield block


def _reset_after_fork() -> None:
    global deadlines, _main_thread_id
    deadlines = Deadlines()
    _main_thread_id = threading.main_thread().ident


os.register_at_fork(after_in_child=_reset_after_fork)
