"""A turn that one thread has at a time, and that no interruption leaves taken for ever.

A signal handler, or another thread, may raise between any two calls of a thread: also when it has taken a lock and has
not reached the ``try`` behind it. ``with lock`` is safe from that, but knows no time limit. So a turn is taken inside
of the ``try``, and given back whether or not it was: ``release`` raises in a thread that has not got it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class OwnedLock:
    """A lock that knows its owner.

    Where :meth:`run` would cost too much, ``release`` must be the first call behind ``finally``: there is no moment
    between them in which an interruption could come.

    Attributes:
        lock: for ``with``, which has no time limit.
        acquire: as that of a lock (``blocking``, ``timeout`` in seconds); not for a thread that has it already.
        release: raises RuntimeError in a thread that has not got it.
        is_mine: whether this thread has it: a signal handler, or a finalizer, comes in the middle of its work.
    """

    __slots__ = ("acquire", "is_mine", "lock", "release")

    def __init__(self) -> None:
        self.lock = lock = threading.RLock()
        self.acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release
        self.is_mine: Callable[[], bool] = lock._is_owned  # type: ignore[attr-defined]

    def run(self, work: Callable[[], object], seconds: float, after: Callable[[], object] | None = None) -> bool:
        """Do the work when it is this thread's turn.

        Args:
            work: what one thread does at a time.
            seconds: how long others are waited for; -1: without a limit.
            after: what is done when the turn has been given back.

        Returns:
            Whether it was done: not in a thread that is in the middle of it, nor if others took too long.

        >>> OwnedLock().run(lambda: print("sent"), seconds=1)
        sent
        True
        """
        if self.is_mine():
            return False
        try:
            if not self.acquire(timeout=seconds):
                return False
            work()
            return True
        finally:
            try:
                self.release()
            except RuntimeError:  # another thread has it
                pass
            else:
                if after is not None:
                    after()
