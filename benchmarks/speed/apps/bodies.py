"""What the tasks do, the same for every queue. Standard library only: this runs in the environments of the peers."""

from __future__ import annotations

import asyncio
import os
import time


def noop(x: int) -> int:
    """Nothing to speak of."""
    return x


def echo(data: str) -> int:
    """Takes a payload; its length goes back."""
    return len(data)


def pause(seconds: float) -> int:
    """Sleeps, and says in which process."""
    time.sleep(seconds)
    return os.getpid()


async def anoop(x: int) -> int:
    """:func:`noop`, for queues whose tasks are coroutines."""
    return x


async def aecho(data: str) -> int:
    """:func:`echo`, for queues whose tasks are coroutines."""
    return len(data)


async def apause(seconds: float) -> int:
    """:func:`pause`, for queues whose tasks are coroutines."""
    await asyncio.sleep(seconds)
    return os.getpid()
