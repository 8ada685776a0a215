"""Single calls that threads and coroutines send at the same moment are kept together, and each is its sender's own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator import flow, tags
from orchestrator.client.fleet import Fleet
from orchestrator.errors import PayloadTooLarge, SerializationError
from orchestrator.futures import PrefectFuture
from tests.behaviour.test_forks import forked, wait_for
from tests.support.apps import basics
from tests.support.waiting import wait_until

SETTINGS = {"command_timeout_seconds": 30.0, "connect_timeout_seconds": 10.0}  # how long, is asked elsewhere
APP = "tests.support.apps.basics"
pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def at_once(fleet: Fleet, works: list[Any]) -> list[Any]:
    """What these functions return or raise, each in a thread; what they send shares one trip."""
    basics.add.delay(0)  # the connection is open

    def outcome(work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool, pytest.MonkeyPatch.context() as patched:
        patched.setattr(fleet.sender, "seconds", 60.0)  # a busy machine takes its time to start so many threads
        with fleet.sender._turn.lock:
            sent = [pool.submit(outcome, work) for work in works]
            wait_until(lambda: len(fleet.sender._waiting) + sum(one.done() for one in sent) == len(works), 60)
        fleet.sender._hand_on_turn()
        return [one.result() for one in sent]


def blocks_of(futures: list[PrefectFuture[Any]]) -> Counter[str]:
    """How many calls of each block these are; under "" those with records."""
    return Counter(one.run_id[:32] if one.run_id[14] == "8" else "" for one in futures)


def test_64_threads_send_one_block(fleet: Fleet) -> None:
    futures = at_once(fleet, [lambda n=n: basics.add.delay(n, 10) for n in range(64)])
    assert [future.result(timeout=60) for future in futures] == [n + 10 for n in range(64)]
    assert len({future.run_id for future in futures}) == 64
    if fleet.broker.runs.keeps_blocks:
        (block,) = blocks_of(futures)
        assert block


def test_handles_of_64_threads_are_settled_by_the_ends_that_come(fleet: Fleet) -> None:
    """Each is known before its call is sent, under the id that the call gets then: nobody has to ask for the ends."""
    basics.add.submit(0).result(timeout=60)
    futures = at_once(fleet, [lambda n=n: basics.add.submit(n, 10) for n in range(64)])
    assert all(future.watched for future in futures)
    wait_until(lambda: all(future.settled for future in futures), 60)  # though nobody waits for them
    assert [future.result() for future in futures] == [n + 10 for n in range(64)]
    assert len({future.run_id for future in futures}) == 64
    if fleet.broker.runs.keeps_blocks:
        (block,) = blocks_of(futures)
        assert block
    assert not any(fleet.open_futures.is_open(future.run_id) for future in futures)


def test_calls_of_several_tasks_tags_and_options(fleet: Fleet) -> None:
    def tagged(n: int) -> PrefectFuture[Any]:
        with tags("red"):
            return basics.add.delay(n, 100)

    works: list[Any] = []
    for n in range(8):
        works += [
            lambda n=n: basics.add.delay(n, 10),
            lambda n=n: basics.echo.delay(n),
            lambda n=n: tagged(n),
            lambda n=n: basics.add.apply_async((n, 1000), priority="high"),
            lambda n=n: basics.add.apply_async((n, 10_000), countdown=0.05),
        ]
    futures = at_once(fleet, works)
    expected = [value for n in range(8) for value in (n + 10, n, n + 100, n + 1000, n + 10_000)]
    assert [future.result(timeout=60) for future in futures] == expected
    if fleet.broker.runs.keeps_blocks:
        counts = blocks_of(futures)
        assert counts.pop("") == 8  # with a countdown
        assert list(counts.values()) == [8, 8, 8, 8]


def test_a_call_that_cannot_be_sent_leaves_its_neighbours_alone(fleet: Fleet) -> None:
    def unserializable() -> Any:
        return basics.echo.delay(threading.Lock())

    def too_large() -> Any:
        return basics.echo.delay("x" * (fleet.limits.max_bytes + 1))

    works: list[Any] = [lambda n=n: basics.echo.delay(n) for n in range(6)]
    *futures, first, second = at_once(fleet, [*works, unserializable, too_large])
    assert isinstance(first, SerializationError)
    assert isinstance(second, PayloadTooLarge)
    assert [future.result(timeout=60) for future in futures] == list(range(6))


def test_a_call_with_a_key_is_sent_once_beside_others(fleet: Fleet) -> None:
    works: list[Any] = [lambda n=n: basics.add.delay(n, 10) for n in range(6)]
    works += [lambda: basics.add.apply_async((1, 1), idempotency_key="only once") for _ in range(6)]
    futures = at_once(fleet, works)
    assert len({future.run_id for future in futures[6:]}) == 1
    assert [future.result(timeout=60) for future in futures] == [*range(10, 16), *[2] * 6]


def test_what_is_done_to_one_of_them_is_done_to_it_alone(fleet: Fleet) -> None:
    nowhere = basics.add.with_options(queue="nobody-reads-this")
    futures = at_once(fleet, [lambda n=n: nowhere.delay(n) for n in range(6)])
    assert futures[2].cancel()
    futures[2].wait(60)
    states = [record.status for record in fleet.broker.records.read([future.run_id for future in futures])]
    assert states == [Status.QUEUED] * 2 + [Status.CANCELLED] + [Status.QUEUED] * 3
    assert all(future.cancel() for at, future in enumerate(futures) if at != 2)


@pytest.mark.parametrize("way", ["adelay", "asubmit"])
def test_64_coroutines(fleet: Fleet, way: str) -> None:
    async def main() -> list[Any]:
        await basics.add.asubmit(0)  # the fleet is ready
        sent = await asyncio.gather(*(getattr(basics.add, way)(n, 10) for n in range(64)))
        assert all(future.watched or future.settled for future in sent) == (way == "asubmit")
        return [(future, await future) for future in sent]

    found = asyncio.run(main())
    assert [value for _, value in found] == [n + 10 for n in range(64)]
    assert len({future.run_id for future, _ in found}) == 64
    if fleet.broker.runs.keeps_blocks:
        assert blocks_of([future for future, _ in found])[""] < 16  # a few may go before the others


def test_calls_of_flow_runs_name_their_own(fleet: Fleet) -> None:
    """Two flow runs send at the same moment: a frame holds the flow run, so none gets the calls of the other."""

    @flow
    async def sends(first: int) -> list[Any]:
        sent = await asyncio.gather(*(basics.add.asubmit(n, first) for n in range(8)))
        return [(future.run_id, await future) for future in sent]

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(sends(first) for first in (100, 200, 300)))

    parents: list[str | None] = []
    for first, found in zip((100, 200, 300), asyncio.run(main()), strict=True):
        assert [value for _, value in found] == [n + first for n in range(8)]
        (parent,) = {record.flow_run_id for record in fleet.broker.records.read([run_id for run_id, _ in found])}
        parents.append(parent)
    assert len(set(parents)) == 3
    assert None not in parents


def test_threads_coroutines_and_forks_at_once(fleet: Fleet, tmp_path: Path) -> None:
    def ids_and_values(first: int) -> list[Any]:
        async def coroutines() -> list[Any]:
            sent = await asyncio.gather(*(basics.add.adelay(n, first) for n in range(20)))
            return [[future.run_id, await future] for future in sent]

        def one(n: int) -> list[Any]:
            future = basics.add.delay(n, first)
            return [future.run_id, future.result(timeout=60)]

        with ThreadPoolExecutor(8) as pool:
            loop = pool.submit(asyncio.run, coroutines())
            return [*pool.map(one, range(20)), *loop.result()]

    over = threading.Event()
    mine: list[Any] = []

    def send_on() -> None:
        while not over.is_set():
            mine.append(ids_and_values(0))

    sending = threading.Thread(target=send_on)
    sending.start()
    try:
        children = [forked(tmp_path / f"{n}", lambda n=n: ids_and_values(1000 * n)) for n in (1, 2, 3)]  # type: ignore[misc]
        wait_for(*children)
        wait_until(lambda: mine, 60)
    finally:
        over.set()
        sending.join(60)
    found = [*((0, one) for one in mine), *((1000 * n, json.loads((tmp_path / f"{n}").read_text())) for n in (1, 2, 3))]
    for first, rows in found:
        assert [value for _, value in rows] == [n + first for n in range(20)] * 2
    ids = [run_id for _, rows in found for run_id, _ in rows]
    assert len(ids) == len(set(ids))
