"""A lane of its own for passwords: each takes memory and a core for a fifth of a second, and holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, ParamSpec, TypeVar

from orchestrator.errors import OrchestratorError

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE: Final = 2
WAITING: Final = 8
RETRY_SECONDS: Final = 2
WITH_A_PASSWORD: Final = frozenset(("set-password", "add-user"))
"""What pages do in this lane."""


class TooManyPasswords(OrchestratorError):
    """More passwords are to be checked or kept than the server looks at in a moment; nothing was done."""


class PasswordLane:
    """Runs what makes hashes of passwords in two threads, with a short queue in front of them.

    In the threads that serve everything else a few dozen log-ins at once would keep all other requests waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._places = threading.BoundedSemaphore(AT_ONCE + WAITING)

    async def run(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something that takes a while in one of the threads, in the context of this task.

        Raises:
            TooManyPasswords: the queue is full; it was not begun.
        """
        if not self._places.acquire(blocking=False):
            raise TooManyPasswords(
                f"the server has more passwords to look at than it can just now, and nothing was done: try again in "
                f"{RETRY_SECONDS} s"
            )
        try:
            future = self._threads.submit(copy_context().run, partial(act, *args, **kwargs))
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)
