"""Calls of coroutines become blocks as those of threads do, and each coroutine waits in its own time."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from brokers.errors import BrokerUnavailable
from brokers.sender import Sender
from orchestrator.runs.run_ids import new_block
from tests.support.senders import Store, block_of, envelope, rebound


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def sender(store: Store) -> Sender:
    return Sender(store.submit, new_block=new_block)


def test_coroutines_share_a_trip_and_are_woken_in_one_hop(store: Store, sender: Sender) -> None:
    hops = 0

    async def main() -> list[Sequence[str]]:
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal hops
            hops += threading.current_thread().name == "sender"
            return call_soon(*args, **kwargs)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        first = asyncio.ensure_future(sender.asend((envelope(0),), rebound))
        while not store.trips:
            await asyncio.sleep(0.001)
        others = [asyncio.ensure_future(sender.asend((envelope(number),), rebound)) for number in range(1, 65)]
        await asyncio.sleep(0)
        store.gate.set()
        return await asyncio.gather(first, *others)

    ids = [run_id for (run_id,) in asyncio.run(main())]
    block_of(ids[1:])
    assert ids[1:] == store.ids(1)
    assert hops <= 4  # two trips; a loop that is just looking is called again


def test_a_coroutine_that_is_cancelled_takes_none_of_its_neighbours_with_it(store: Store, sender: Sender) -> None:
    async def main() -> list[Any]:
        first = asyncio.ensure_future(sender.asend((envelope(0),), rebound))
        while not store.trips:
            await asyncio.sleep(0.001)
        others = [asyncio.ensure_future(sender.asend((envelope(number),), rebound)) for number in range(1, 7)]
        await asyncio.sleep(0)
        others[2].cancel()
        store.gate.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    _, *found = asyncio.run(main())
    assert isinstance(found[2], asyncio.CancelledError)
    assert [one[0] for at, one in enumerate(found) if at != 2] == [
        run_id for at, run_id in enumerate(store.ids(1)) if at != 2
    ]


def test_loops_of_several_threads_one_after_another(sender: Sender, store: Store) -> None:
    store.gate.set()

    async def main() -> list[Sequence[str]]:
        return await asyncio.gather(*(sender.asend((envelope(number),), rebound) for number in range(30)))

    with ThreadPoolExecutor(4) as pool:
        rounds = [pool.submit(asyncio.run, main()) for _ in range(12)]
        ids = list(itertools.chain.from_iterable(run_ids for one in rounds for run_ids in one.result()))
    assert len(set(ids)) == 12 * 30


def test_the_time_of_each_coroutine_is_its_own(store: Store) -> None:
    sender = Sender(store.submit, seconds=0.2, new_block=new_block)

    async def main() -> list[Any]:
        stuck = asyncio.ensure_future(sender.asend((envelope(0),), rebound))
        while not store.trips:
            await asyncio.sleep(0.001)
        given_up = [asyncio.ensure_future(sender.asend((envelope(number),), rebound)) for number in range(1, 5)]
        found = await asyncio.gather(stuck, *given_up, return_exceptions=True)
        store.gate.set()
        return [*found, *await asyncio.gather(*(sender.asend((envelope(9),), rebound) for _ in range(4)))]

    found = asyncio.run(main())
    assert all(isinstance(error, BrokerUnavailable) for error in found[:5])
    assert "may have been sent" in str(found[0])
    assert all("Nothing was sent" in str(error) for error in found[1:5])
    assert [one[0] for one in found[5:]] == store.ids(1)
    assert {one.body for one in store.trips[1]} == {b"9"}
