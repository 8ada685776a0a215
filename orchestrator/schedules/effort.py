"""A bound on the work of one question: rules can be written that take minutes to evaluate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

SECONDS_PER_QUESTION: Final = 0.05

_until: ContextVar[float | None] = ContextVar("orchestrator_effort_until", default=None)


class TooMuchWork(ValueError):
    """The next tick could not be found with a reasonable effort."""


@contextmanager
def limited(seconds: float = SECONDS_PER_QUESTION) -> Iterator[None]:
    """Inside the block, evaluating a schedule raises :class:`TooMuchWork` after so many seconds of this thread's work.

    >>> with limited(0.0):
    ...     spend()
    Traceback (most recent call last):
        ...
    orchestrator.schedules.effort.TooMuchWork: its next tick is not found within 0 ms of work
    """
    token = _until.set(time.thread_time() + seconds)
    try:
        yield
    except TooMuchWork:
        raise TooMuchWork(f"its next tick is not found within {seconds * 1000:.0f} ms of work") from None
    finally:
        _until.reset(token)


def spend() -> None:
    """Asked in loops that may be long. Raises TooMuchWork."""
    until = _until.get()
    if until is not None and time.thread_time() >= until:
        raise TooMuchWork
