"""A task that waits for other runs lends its slot out meanwhile, so that nested submits cannot deadlock.

The slot of the current thread is known here, so that whoever waits (futures) need not know what runs it (slots).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Lendable(Protocol):
    """A place that runs one call at a time."""

    def lend(self) -> None:
        """Let another call run in this place."""

    def take_back(self) -> None:
        """Wait until the place is free again."""


class _Here(threading.local):
    slot: Lendable | None = None
    is_shared_loop = False  # this thread runs the event loop that all async calls of a worker share


here = _Here()


@contextmanager
def slot_lent() -> Iterator[None]:
    """Lend the slot of this thread, if it is one, for the length of the block.

    Raises:
        RuntimeError: this thread is the event loop of a worker, which must not be blocked.
    """
    slot = here.slot
    if here.is_shared_loop:
        raise RuntimeError(
            "an async task waits for another run and would block every call on its worker's event loop, "
            "perhaps the very one it waits for: write `await future` (or make the task a plain function)"
        )
    if slot is None:
        yield
        return
    here.slot = None  # a wait inside the wait lends nothing more
    slot.lend()
    try:
        yield
    finally:
        slot.take_back()
        here.slot = slot
