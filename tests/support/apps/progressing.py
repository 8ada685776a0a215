"""Tasks that tell how far they have come."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from orchestrator import get_run_logger, progress, task


def wait_for(folder: str, sign: str) -> None:
    """Until the test makes a file of this name."""
    while not (Path(folder) / sign).exists():
        time.sleep(0.01)


@task
def step(folder: str, count: int) -> int:
    """One step for each sign: step-1, step-2, ..."""
    for number in range(1, count + 1):
        wait_for(folder, f"step-{number}")
        get_run_logger().info("step %d", number)
        progress.set(number, total=count, note=f"step {number}")
    return count


@task
async def step_in_a_loop(folder: str, count: int) -> int:
    progress.set(0, total=count)
    for number in range(1, count + 1):
        await asyncio.to_thread(wait_for, folder, f"step-{number}")
        progress.increment()
    return count


@task
def hurry(count: int) -> int:
    for number in range(count):
        progress.set(number + 1, total=count)
    return count


@task
async def count_together(threads: int, each: int) -> None:
    def count() -> None:
        for _ in range(each):
            progress.increment()

    await asyncio.gather(*(asyncio.to_thread(count) for _ in range(threads)))


@task(retries=1)
def stumble(folder: str) -> str:
    if not (Path(folder) / "stumbled").exists():
        progress.set(5, note="before the fall")
        (Path(folder) / "stumbled").touch()
        raise OSError("stumbled")
    (Path(folder) / "up again").touch()
    wait_for(folder, "speak")
    progress.set(1, note="after it")
    wait_for(folder, "go")
    return "arrived"


@task
def tell_nothing() -> None:
    """It has nothing to say."""


@task
def refuse(text: str) -> None:
    raise ValueError(text)
