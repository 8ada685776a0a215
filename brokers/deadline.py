"""One deadline for a verb, counted from the caller's start: every lock, connection and read on its way shares it.

It is known to the thread, so that what lies between the caller and the socket need not hand it on.
"""

from __future__ import annotations

import threading
import time


class _ThisThread(threading.local):
    until: float | None = None


_this_thread = _ThisThread()


def within(seconds: float) -> float:
    """The moment (``time.monotonic()``) that is so many seconds away, or this thread's deadline if that is earlier."""
    until = time.monotonic() + seconds
    earlier = _this_thread.until
    return until if earlier is None or until < earlier else earlier


class deadline:
    """Bounds everything in the block that asks :func:`within`, to this moment; ``None``: there is no bound.

    >>> with deadline(time.monotonic() + 1):
    ...     within(60) < time.monotonic() + 2
    True
    """

    __slots__ = ("_before", "_until")

    def __init__(self, until: float | None) -> None:
        self._until = until

    def __enter__(self) -> None:
        self._before, _this_thread.until = _this_thread.until, self._until

    def __exit__(self, *_: object) -> None:
        _this_thread.until = self._before
