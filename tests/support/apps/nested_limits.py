"""Tasks that wait for runs under the limit under which they run themselves."""

from __future__ import annotations

import asyncio

from orchestrator import task
from orchestrator.futures import as_completed


@task(concurrency=1)
def one(depth: int) -> int:
    return 0 if depth == 0 else 1 + one.submit(depth - 1).result()


@task(concurrency=1)
async def gathers(depth: int) -> int:
    return 0 if depth == 0 else sum(await asyncio.gather(gathers.submit(depth - 1), gathers.submit(depth - 1)))


@task(concurrency=1)
def takes_the_first(depth: int) -> int:
    return 0 if depth == 0 else next(as_completed([takes_the_first.submit(0), takes_the_first.submit(0)])).result()


@task(concurrency=("nested db", 2))
def outer(depth: int) -> int:
    return 0 if depth == 0 else 1 + between.submit(depth - 1).result()


@task
def between(depth: int) -> int:
    return inner.submit(depth).result()


@task(concurrency=("nested db", 2))
def inner(depth: int) -> int:
    return 0 if depth == 0 else 1 + outer.submit(depth - 1).result()


@task(concurrency=("side by side", 2))
def side_by_side(depth: int) -> int:
    return 0 if depth == 0 else 1 + side_by_side.submit(depth - 1).result()
