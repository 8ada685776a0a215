"""Plain calls that coroutines of a loop post in the same turn of it are one parcel; each has an answer of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from brokers.errors import BrokerError, BrokerUnavailable
from brokers.loop_groups import LoopGroups
from brokers.messages import Envelope
from brokers.parcel import Parcel
from brokers.sender import Sender
from orchestrator.runs.run_ids import new_block, new_run_id
from tests.support.senders import Store, block_of, envelope, rebound

FRAME = envelope(0)
OTHER = envelope(0, "app.other")


@pytest.fixture
def store() -> Store:
    store = Store()
    store.gate.set()
    return store


def groups_of(store: Store, seconds: float = 60.0) -> LoopGroups:
    return LoopGroups(Sender(store.submit, seconds=seconds, new_block=new_block), new_block, new_run_id)


async def answers(groups: LoopGroups, count: int, frame: Envelope = FRAME, first: int = 0) -> list[Any]:
    posted = [groups.post(frame, b"%d" % number) for number in range(first, first + count)]
    return await asyncio.gather(*posted, return_exceptions=True)


async def while_one_is_on_its_way(
    store: Store, groups: LoopGroups, then: Callable[[], Awaitable[list[Any]]]
) -> list[Any]:
    store.gate.clear()
    first = asyncio.ensure_future(groups._sender.asend((envelope(0),), rebound))
    while not store.trips:
        await asyncio.sleep(0.001)
    try:
        return await then()
    finally:
        store.gate.set()
        await asyncio.wait([first])


@pytest.mark.parametrize("count", [4, 64, 128])
def test_they_are_a_block_and_each_coroutine_gets_the_id_of_its_call(store: Store, count: int) -> None:
    run_ids = asyncio.run(answers(groups_of(store), count))
    block_of(run_ids)
    (trip,) = store.trips
    assert store.framed == [True]
    assert [(call.run_id, call.body) for call in trip] == [(run_id, b"%d" % at) for at, run_id in enumerate(run_ids)]
    assert {call._replace(run_id="", body=b"") for call in trip} == {FRAME._replace(run_id="", body=b"")}


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_go_as_single_calls_do(store: Store, count: int) -> None:
    run_ids = asyncio.run(answers(groups_of(store), count))
    assert [call.run_id for trip in store.trips for call in trip] == run_ids
    assert {run_id[14] for run_id in run_ids} == {"7"}
    assert store.framed == [False] * len(store.trips)


def test_a_few_of_several_loops_share_a_block(store: Store) -> None:
    groups, gate = groups_of(store), threading.Barrier(3)

    async def main() -> list[Any]:
        posted = asyncio.ensure_future(answers(groups, 2))
        await asyncio.sleep(0.0)
        while len(groups._sender._waiting) < 6:
            await asyncio.sleep(0.001)
        gate.wait(20)
        store.gate.set()
        return await posted

    store.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(groups._sender.send, [envelope(0)])
        while not store.trips:
            gate_is_shut = store.gate.wait(0.001)
            assert not gate_is_shut
        loops = [pool.submit(asyncio.run, main()) for _ in range(3)]
        run_ids = [run_id for one in loops for run_id in one.result(20)]
    block_of(sorted(run_ids))
    assert store.framed == [False, True]


def test_those_of_another_frame_are_another_block(store: Store) -> None:
    groups = groups_of(store)

    async def main() -> list[list[Any]]:
        return await asyncio.gather(answers(groups, 5), answers(groups, 6, OTHER))

    ours, others = asyncio.run(main())
    assert block_of(ours) != block_of(others)
    assert sorted(len(trip) for trip in store.trips) == [5, 6]
    assert store.framed == [True, True]


def test_more_than_a_block_takes_are_several(store: Store) -> None:
    run_ids = asyncio.run(answers(groups_of(store), 258))
    assert block_of(run_ids[:128]) != block_of(run_ids[128:256])
    assert {run_id[14] for run_id in run_ids[256:]} == {"7"}
    assert [call.body for trip in store.trips for call in trip] == [b"%d" % number for number in range(258)]


def test_all_of_a_group_are_woken_in_one_hop(store: Store) -> None:
    groups, hops = groups_of(store), 0

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        call_soon = loop.call_soon_threadsafe

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal hops
            hops += threading.current_thread().name == "sender"
            return call_soon(*args, **kwargs)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        return await answers(groups, 64)

    assert len(asyncio.run(main())) == 64
    assert hops == 1


def test_a_coroutine_that_is_cancelled_takes_none_of_its_neighbours_with_it(store: Store) -> None:
    groups = groups_of(store)

    async def main() -> list[Any]:
        async def send(number: int) -> str:
            return await groups.post(FRAME, b"%d" % number)

        async def then() -> list[Any]:
            sends = [asyncio.ensure_future(send(number)) for number in range(6)]
            await asyncio.sleep(0)
            sends[1].cancel()  # before the group is closed
            while not groups._sender._waiting:
                await asyncio.sleep(0)
            sends[2].cancel()
            store.gate.set()
            return await asyncio.gather(*sends, return_exceptions=True)

        return await while_one_is_on_its_way(store, groups, then)

    found = asyncio.run(main())
    assert [type(one) for one in found[1:3]] == [asyncio.CancelledError] * 2
    assert [found[at] for at in (0, 3, 4, 5)] == [store.ids(1)[at] for at in (0, 3, 4, 5)]
    assert len(store.trips[1]) == 6  # they are sent all the same


def test_whose_time_is_over_before_they_are_sent_are_told_so(store: Store) -> None:
    groups = groups_of(store, seconds=0.2)

    async def main() -> list[Any]:
        return await while_one_is_on_its_way(store, groups, lambda: answers(groups, 5))

    found = asyncio.run(main())
    assert all(isinstance(error, BrokerUnavailable) and "Nothing was sent" in str(error) for error in found)
    assert len(set(map(id, found))) == 5
    assert len(store.trips) == 1


def test_whose_time_is_over_while_they_are_on_their_way_are_told_their_ids(store: Store) -> None:
    groups = groups_of(store, seconds=0.2)
    store.gate.clear()

    async def main() -> list[Any]:
        try:
            return await answers(groups, 5)
        finally:
            store.gate.set()

    found = asyncio.run(main())
    assert all("may have been sent" in str(error) for error in found)
    assert [error.doubtful_run_ids for error in found] == [(run_id,) for run_id in store.ids(0)]


def test_an_error_names_to_each_its_own_call_only(store: Store) -> None:
    class Lost(Store):
        def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
            error = BrokerUnavailable("no answer")
            error.reply_lost, error.doubtful_run_ids = True, tuple(super().submit(envelopes))
            raise error

    lost = Lost()
    lost.gate.set()
    found: list[BrokerError] = asyncio.run(answers(groups_of(lost), 7))
    assert [error.doubtful_run_ids for error in found] == [(run_id,) for run_id in lost.ids(0)]
    assert all(error.reply_lost for error in found)


def test_loops_one_after_another_in_the_same_thread(store: Store) -> None:
    groups = groups_of(store)
    run_ids = [run_id for _ in range(20) for run_id in asyncio.run(answers(groups, 5))]
    assert len(set(run_ids)) == 100


def test_what_was_posted_before_goes_before(store: Store) -> None:
    groups = groups_of(store)

    async def main() -> None:
        for round_ in range(10):
            await answers(groups, 6, first=6 * round_)

    asyncio.run(main())
    assert [call.body for trip in store.trips for call in trip] == [b"%d" % number for number in range(60)]


def test_what_cannot_be_begun_to_be_sent_is_raised_to_each(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = groups_of(store)

    def cannot_start(parcel: Parcel) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(groups._sender, "begin", cannot_start)
    found = asyncio.run(answers(groups, 140))
    assert [str(error) for error in found] == ["can't start new thread"] * 140
