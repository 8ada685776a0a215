"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], timeout: float = 10.0, message: str = "") -> None:
    """Return as soon as ``predicate()`` is true; asked every 10 ms. AssertionError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or 'the awaited condition'}: not within {timeout:g} s")
        time.sleep(0.01)
