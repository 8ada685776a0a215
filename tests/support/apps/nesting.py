"""Tasks that submit others and wait for them."""

from __future__ import annotations

import asyncio

from orchestrator import task


@task
def leaf(n: int) -> int:
    return n


@task
async def leaf_async(n: int) -> int:
    await asyncio.sleep(0)
    return n


def _leaf(kind: str, queue: str | None, priority: str):  # type: ignore[no-untyped-def]
    chosen = leaf if kind == "sync" else leaf_async
    return chosen.with_options(queue=queue, priority=priority)


@task
def five(kind: str, queue: str | None = None, priority: str = "default") -> int:
    futures = [_leaf(kind, queue, priority).submit(n) for n in range(5)]
    return sum(future.result(timeout=60) for future in futures)


@task
async def five_async(kind: str, queue: str | None = None, priority: str = "default") -> int:
    futures = [await _leaf(kind, queue, priority).asubmit(n) for n in range(5)]
    return sum([await future for future in futures])


@task
def deep(levels: int) -> int:
    """Each level waits for two of the next."""
    if not levels:
        return 1
    return sum(future.result(timeout=60) for future in [deep.submit(levels - 1), deep.submit(levels - 1)])
