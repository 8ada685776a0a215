"""``concurrency`` and ``rate_limit`` as users write them, against a store, in one process and in many."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from brokers.facets.limits import Turn
from orchestrator.client.fleet import Fleet
from orchestrator.concurrency import asyncio as limits_async
from orchestrator.concurrency import requests
from orchestrator.concurrency.declared import declare, declared, forget
from orchestrator.concurrency.sync import concurrency, rate_limit
from orchestrator.errors import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencyLeaseLost,
    ConcurrencySlotAcquisitionError,
)
from tests.support.waiting import wait_until
from tests.support.worker_process import clean_environment

ROOT = Path(__file__).parents[2]
HOLDER = """
import os, sys
from orchestrator.concurrency.sync import concurrency
book, rounds = sys.argv[1], int(sys.argv[2])
log = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(rounds):
    with concurrency("db", occupy=2, lease_duration=1):
        os.write(log, b"+2\\n")
        if rounds == 1:
            os.write(log, b"-2\\n")  # it is killed with its places: nobody counts them from here on
            print("holds", flush=True)
            sys.stdin.read()
        os.write(log, b"-2\\n")
"""


@pytest.fixture(autouse=True)
def _store(fleet: Fleet) -> None:
    """The fleet is this process's."""


def taken(fleet: Fleet, name: str = "db") -> float:
    (limit,) = declared(fleet, [name])
    assert limit is not None
    return limit.use.taken


def waiting(fleet: Fleet) -> int:
    (limit,) = declared(fleet, ["db"])
    assert limit is not None
    return limit.use.waiting


def test_places_are_held_for_the_length_of_a_block(fleet: Fleet) -> None:
    declare(fleet, "db", limit=3)
    with concurrency("db", occupy=2):
        assert taken(fleet) == 2
        refused = pytest.raises(AcquireConcurrencySlotTimeoutError, match="2 places under the limit 'db'")
        with refused, concurrency(["db"], occupy=2, timeout_seconds=0):
            pass
        with pytest.raises(TimeoutError), concurrency("db", occupy=2, max_retries=0):
            pass
    assert taken(fleet) == 0
    with concurrency([]):
        pass


def test_a_block_inside_of_one_that_holds_all_places_does_not_wait_for_it(fleet: Fleet) -> None:
    declare(fleet, "db", limit=3)
    with concurrency("db"), concurrency(["mails", "db"], occupy=2):
        assert taken(fleet) == 3, "each block has places of its own, as in Prefect"
        refused = pytest.raises(ConcurrencySlotAcquisitionError, match="holds 3 of the 3 places under the limit 'db'")
        with refused, concurrency("db"):
            pass
        with (
            pytest.raises(TimeoutError, match="for which it would wait for ever"),
            concurrency("db", timeout_seconds=60),
        ):
            pass
        declare(fleet, "db", limit=4)
        with concurrency("db"):
            assert taken(fleet) == 4
    assert taken(fleet) == 0
    assert waiting(fleet) == 0


def test_the_same_on_an_event_loop_where_other_tasks_do_wait(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)

    async def inner() -> str:
        async with limits_async.concurrency("db"):
            return "had it"

    async def main() -> str:
        async with limits_async.concurrency("db"):
            other = asyncio.create_task(inner())
            with pytest.raises(ConcurrencySlotAcquisitionError, match="holds 1 of the 1 places"):
                await inner()
        return await other

    assert asyncio.run(main()) == "had it"


def test_other_threads_wait_for_a_block_that_is_no_block_around_them(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)

    def inner() -> str:
        with concurrency("db"):
            return "had it"

    with ThreadPoolExecutor(1) as pool:
        with concurrency("db"):
            other = pool.submit(inner)
            wait_until(lambda: waiting(fleet) == 1, 30)
        assert other.result(30) == "had it"


def test_whoever_waits_is_woken_by_whoever_leaves(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)
    order: list[int] = []

    def one(number: int) -> None:
        with concurrency("db"):
            order.append(number)

    with ThreadPoolExecutor(4) as pool, concurrency("db"):
        for number in range(4):
            pool.submit(one, number)
            wait_until(lambda number=number: waiting(fleet) == number + 1)  # type: ignore[misc]
        assert order == []
    assert order == [0, 1, 2, 3]


def test_coroutines_wait_without_blocking_their_loop(fleet: Fleet) -> None:
    declare(fleet, "db", limit=2)
    at_once, most = 0, 0

    async def one() -> None:
        nonlocal at_once, most
        async with limits_async.concurrency(["db"], lease_duration=5):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.005)
            at_once -= 1

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(all_of_them())
    assert most == 2
    assert taken(fleet) == 0


def test_a_wait_that_is_given_up_leaves_the_line(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)

    async def give_up() -> None:
        async with asyncio.timeout(0.3), limits_async.concurrency("db"):
            pass

    with concurrency("db"):
        with pytest.raises(TimeoutError):
            asyncio.run(give_up())
        assert waiting(fleet) == 0


def test_a_coroutine_that_is_cancelled_while_it_asks_keeps_nothing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(fleet, "db", limit=1)
    acquire, asked, goes_on = fleet.broker.limits.acquire, threading.Event(), threading.Event()

    def slow(*args: Any, **how: Any) -> Turn:
        asked.set()
        goes_on.wait(20)
        return acquire(*args, **how)

    monkeypatch.setattr(fleet.broker.limits, "acquire", slow)

    async def hold() -> None:
        async with limits_async.concurrency("db"):
            pass

    async def cancel_it() -> None:
        holding = asyncio.create_task(hold())
        await asyncio.to_thread(asked.wait, 20)
        holding.cancel()
        threading.Timer(0.2, goes_on.set).start()  # whoever does not wait for the answer has given back by then
        await asyncio.wait([holding])

    asyncio.run(cancel_it())
    assert taken(fleet) == 0


def test_an_unknown_limit_holds_nobody_up_unless_it_is_strict(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "_warned", set())
    with caplog.at_level(logging.WARNING, "orchestrator.concurrency"):
        for _ in range(2):
            with concurrency("nobody made it"):
                rate_limit("nobody made it")
    assert [record.getMessage() for record in caplog.records if "nobody made it" in record.getMessage()] == [
        "no limit 'nobody made it' has been declared: it holds nobody up "
        "(`orchestrator gcl create nobody made it --limit N` makes one)"
    ]
    refused = pytest.raises(ConcurrencySlotAcquisitionError, match="gcl create")
    with refused, concurrency("nobody made it", strict=True):
        pass
    with pytest.raises(ConcurrencySlotAcquisitionError, match="gcl create"):
        rate_limit("nobody made it", strict=True)


def test_more_than_there_is_is_refused_at_once(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)
    with pytest.raises(ConcurrencySlotAcquisitionError, match="occupy=2 is more than"), concurrency("db", occupy=2):
        pass
    with pytest.raises(ConcurrencySlotAcquisitionError, match="slot-decay-per-second"):
        rate_limit("db")
    for wrong in ({"occupy": 0}, {"occupy": True}, {"timeout_seconds": -1}, {"lease_duration": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))), concurrency("db", **wrong):  # type: ignore[arg-type]
            pass
    with pytest.raises(ValueError, match="no name of a limit"):
        rate_limit("a|b")


def test_a_lease_that_is_lost_ends_the_block_where_it_shall(fleet: Fleet) -> None:
    declare(fleet, "db", limit=1)

    def lose() -> None:
        (limit,) = declared(fleet, ["db"])
        assert limit is not None
        fleet.broker.limits.release([holder.who for holder in limit.use.holders])

    def in_a_thread() -> None:
        with concurrency("db", lease_duration=0.6, raise_on_lease_renewal_failure=True):
            lose()
            threading.Event().wait(20)

    with pytest.raises(ConcurrencyLeaseLost):
        in_a_thread()

    async def in_a_coroutine() -> None:
        async with limits_async.concurrency("db", lease_duration=0.6, strict=True):
            lose()
            await asyncio.sleep(20)

    with pytest.raises(ConcurrencyLeaseLost):
        asyncio.run(in_a_coroutine())


def test_turns_under_a_rate_come_one_after_the_other(fleet: Fleet) -> None:
    declare(fleet, "mails", limit=1, slot_decay_per_second=50)
    for _ in range(5):
        rate_limit("mails")
    asyncio.run(limits_async.rate_limit("mails", timeout_seconds=5))
    declare(fleet, "mails", slot_decay_per_second=0.01)
    with pytest.raises(AcquireConcurrencySlotTimeoutError):
        rate_limit("mails", timeout_seconds=1)


def test_a_lowered_limit_holds_for_the_next(fleet: Fleet) -> None:
    declare(fleet, "db", limit=2)
    with concurrency("db"), concurrency("db"):
        declare(fleet, "db", limit=1)
    with concurrency("db"):
        with pytest.raises(TimeoutError), concurrency("db", timeout_seconds=0):
            pass
        forget(fleet, ["db"])
        with concurrency("db", timeout_seconds=0):
            pass


def test_twenty_processes_of_which_five_are_killed_never_hold_more_than_there_is(
    fleet: Fleet, row: str, tmp_path: Path
) -> None:
    if row.startswith("celery"):
        pytest.skip("lines and leases are the store's, whatever carries the calls")
    declare(fleet, "db", limit=6)
    book = tmp_path / "book"
    environment = clean_environment() | {
        "ORCHESTRATOR_REDIS_URL": fleet.settings.redis_url or "",
        "ORCHESTRATOR_NAMESPACE": fleet.settings.namespace,
        "PYTHONPATH": str(ROOT),
    }

    def start(rounds: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(book), str(rounds)],
            env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    processes = [start(3) for _ in range(15)]
    try:
        for _ in range(5):
            victim = start(1)
            processes.append(victim)
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"holds\n"
            victim.kill()
        assert [process.wait(60) for process in processes[:15]] == [0] * 15
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    changes = [int(line) for line in book.read_text().splitlines()]
    assert len(changes) == 2 * (5 + 15 * 3)
    assert max(accumulate(changes)) <= 6
    wait_until(lambda: taken(fleet) == 0)
