"""Changes that read, decide and write, made anew when somebody else has written meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from brokers.errors import BrokerConflict

T = TypeVar("T")


def retried_on_conflict(change: Callable[[], T], tries: int = 5) -> T:
    """What a change returns, made again after each conflict.

    Args:
        change: reads, decides, and writes what it has read only if nobody else has written it.
        tries: how often it is made at most.

    Raises:
        BrokerConflict: others have written each time; and what the change raises.

    >>> answers = iter([BrokerConflict("somebody was quicker"), "written"])
    >>> def change():
    ...     if isinstance(answer := next(answers), Exception):
    ...         raise answer
    ...     return answer
    >>> retried_on_conflict(change)
    'written'
    """
    for _ in range(tries - 1):
        with suppress(BrokerConflict):
            return change()
    return change()
