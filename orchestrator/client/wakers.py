"""Waits that end when their thread is interrupted.

An exception that one thread raises in another (a cancel, a timeout) comes between two bytecodes: a thread that blocks
on a lock does not get it before the lock is free. So whoever blocks leaves a waker here. Whoever interrupts a thread
sets the exception and calls the wakers of that thread: it is raised as soon as the wait returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

Waker = Callable[[], None]
_wakers: dict[int, list[Waker]] = {}  # thread -> of the waits in it; more than one where it runs an event loop


class Woken:
    """A block that waits, and that ``wake`` ends early. No exception is lost where one comes in between.

    Args:
        wake: ends the wait, called in another thread, perhaps when the wait is over.

    >>> gate = threading.Event()
    >>> with Woken(gate.set):
    ...     wake(threading.get_ident())
    ...     gate.wait()
    True
    """

    __slots__ = ("_thread", "_wake")

    def __init__(self, wake: Waker) -> None:
        self._wake, self._thread = wake, threading.get_ident()

    def __enter__(self) -> None:
        _wakers.setdefault(self._thread, []).append(self._wake)

    def __exit__(self, *exc_info: object) -> None:
        wakers = _wakers.get(self._thread, [])
        if self._wake in wakers:
            wakers.remove(self._wake)
        if not wakers:
            _wakers.pop(self._thread, None)


def wake(thread: int) -> None:
    """End the waits of a thread that has been interrupted."""
    for waker in list(_wakers.get(thread, ())):
        waker()
