"""Tasks of ours that a Celery client calls by name."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from orchestrator import task


class Refused(Exception):
    """What these tasks may raise."""


@task
def add(a: int, b: int) -> int:
    return a + b


@task
async def add_async(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    return a + b


@task
def refuse(what: str) -> None:
    raise Refused(what)


@task(retries=2, retry_delay_seconds=0.01)
def third_time(path: str) -> int:
    with open(path, "a") as file:
        file.write("x")
    tries = len(Path(path).read_text())
    if tries < 3:
        raise Refused("not yet")
    return tries


@task(timeout_seconds=0.3)
def sleep_too_long() -> None:
    time.sleep(60)


@task
def add_up(count: int) -> int:
    return sum(add.map(range(count), 0).result(timeout=60))


@task
def wait_for_a_later_one(seconds: float) -> int:
    return add.apply_async((1, 2), countdown=seconds).result(timeout=60)
