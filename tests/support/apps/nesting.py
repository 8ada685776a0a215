"""Tasks that submit others and wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from orchestrator import as_completed, flow, task
from orchestrator.futures import PrefectFuture
from tests.support import signals


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


@task
def stays(begun: str, may_end: str) -> str:
    """Keeps its place until a sign is given."""
    signals.give(begun)
    signals.wait_for(may_end, timeout=60)
    return "stayed"


@task(timeout_seconds=0.5)
def waits_too_long(begun: str, may_end: str) -> str:
    return stays.submit(begun, may_end).result()


@task(timeout_seconds=0.5)
def takes_its_ends_too_long(begun: str, may_end: str) -> list[str]:
    return [future.result() for future in as_completed([stays.submit(begun, may_end)])]


@task
def waits_for_it(begun: str, may_end: str) -> str:
    return stays.submit(begun, may_end).result()


# -- one parent for each way of waiting; each waits for three leaves, and its result is their sum ------------


@task
async def awaits() -> int:
    return sum([await future for future in leaf_async.map(range(3))])


@task
async def gathers() -> int:
    return sum(await asyncio.gather(*leaf_async.map(range(3))))


@task
async def as_they_end() -> int:
    return sum([await each for each in asyncio.as_completed([asyncio.ensure_future(f) for f in leaf.map(range(3))])])


@task
async def waits_in_to_thread() -> int:
    return sum(await asyncio.to_thread(leaf_async.map(range(3)).result))


@task
def waits_on_a_loop_of_its_own() -> int:
    async def main() -> int:
        return sum(await asyncio.gather(*leaf.map(range(3))))

    return asyncio.run(main())


@task
def waits_in_threads() -> int:
    with ThreadPoolExecutor(3) as pool:
        return sum(pool.map(lambda n: leaf.submit(n).result(), range(3)))


@task
def waits_in_a_thread() -> int:
    sums: list[int] = []
    thread = threading.Thread(target=lambda: sums.append(sum(leaf.map(range(3)).result())))
    thread.start()
    thread.join()
    return sums[0]


@flow
def a_flow() -> int:
    return sum(as_completed_results(leaf.map(range(3))))


def as_completed_results(futures: Iterable[PrefectFuture[int]]) -> list[int]:
    return [future.result() for future in as_completed(futures)]


@flow
async def an_async_flow() -> int:
    return sum([await future for future in leaf.map(range(3))])


@task
def runs_a_flow() -> int:
    return a_flow()


@task
async def runs_an_async_flow() -> int:
    return await an_async_flow()


@task
def hands_over() -> PrefectFuture[int]:
    return leaf.submit(3)


@task
async def hands_over_async() -> PrefectFuture[int]:
    return leaf.submit(3)


@task
async def gives_up_waiting() -> int:
    try:
        async with asyncio.timeout(0.01):
            await leaf.with_options(queue="nobody-reads-this").submit(0)
    except TimeoutError:
        return sum([await future for future in leaf.map(range(3))])
    return 0
