"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], timeout: float = 30.0, message: str | Callable[[], str] = "") -> None:
    """Return as soon as ``predicate()`` is true; asked every 10 ms. AssertionError after ``timeout`` seconds.

    The message says what was awaited; a function is called when it did not come, for what is known then.
    """
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            text = message() if callable(message) else message
            raise AssertionError(f"{text or 'the awaited condition'}: not within {timeout:g} s")
        time.sleep(0.01)
