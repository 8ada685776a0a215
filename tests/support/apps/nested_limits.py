"""Tasks that wait for runs under the limit under which they run themselves."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from orchestrator import flow, task
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


# -- they wait for their own kind in what they call, not in their own code -----------------------------------


@task
def same(value: int) -> int:
    return value


@task(concurrency=1)
def in_a_flow(depth: int) -> int:
    return 0 if depth == 0 else outer_flow(depth)


@flow
def outer_flow(depth: int) -> int:
    return inner_flow(depth) + 1


@flow
def inner_flow(depth: int) -> int:
    return in_a_flow.submit(depth - 1).result()


@task(concurrency=1)
async def in_an_async_flow(depth: int) -> int:
    return 0 if depth == 0 else await async_flow(depth)


@flow
async def async_flow(depth: int) -> int:
    return await in_an_async_flow.submit(depth - 1)


@task(concurrency=1)
def in_a_flow_that_is_sent(depth: int) -> int:
    return 0 if depth == 0 else sent_flow.delay(depth).result()


@flow
def sent_flow(depth: int) -> int:
    return in_a_flow_that_is_sent.submit(depth - 1).result()


@task(concurrency=1)
def in_a_thread(depth: int) -> int:
    with ThreadPoolExecutor(1) as threads:
        return 0 if depth == 0 else threads.submit(lambda: in_a_thread.submit(depth - 1).result()).result()


@task(concurrency=1)
def in_a_task_that_it_calls(depth: int) -> int:
    return 0 if depth == 0 else called(depth)


@task
def called(depth: int) -> int:
    return in_a_task_that_it_calls.submit(depth - 1).result()


@task(concurrency=1)
def behind_an_argument(depth: int) -> int:
    return 0 if depth == 0 else same.submit(same.submit(behind_an_argument.submit(depth - 1))).result()


@task(concurrency=1)
def behind_a_task_of_a_flow(depth: int) -> int:
    return 0 if depth == 0 else flow_with_a_task(depth)


@flow
def flow_with_a_task(depth: int) -> int:
    return waits_for_the_other.submit(depth).result()


@task
def waits_for_the_other(depth: int) -> int:
    return behind_a_task_of_a_flow.submit(depth - 1).result()


INDIRECT = [
    in_a_flow,
    in_an_async_flow,
    in_a_flow_that_is_sent,
    in_a_thread,
    in_a_task_that_it_calls,
    behind_an_argument,
    behind_a_task_of_a_flow,
]
