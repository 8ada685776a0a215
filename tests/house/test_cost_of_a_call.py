"""What a call costs, in counts that are the same on every machine: commands, bytes, scripts, Python function calls.

Not time: a loaded machine would be red, and a slow change on a fast one green. Each budget is what the code needed when
it was written, plus a little; whoever needs more says why in the change. Where the time goes: ``benchmarks/stages.py``.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import pytest
import redis

from benchmarks.stepwise import Stepwise
from brokers.redis.transport.protocol import Dialogue
from orchestrator import task
from orchestrator.slots import ack_buffer, prefetched
from orchestrator.slots.prefetched import LARGEST_BATCH, Prefetched
from orchestrator.testing.throwaway import throwaway_fleet
from tests.support.servers import ServerProcess

pytestmark = pytest.mark.needs_server
ROUNDS = 5


@task
def same(x: int) -> int:
    return x


class Ledger:
    """What a server of our own has been asked to do: commands by name, and bytes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._client.ping()
        first = self._bytes()
        self._own_bytes = self._bytes() - first  # of the question itself

    def _bytes(self) -> int:
        return int(self._client.info("stats")["total_net_input_bytes"])

    def of(self, work: Callable[[], object]) -> tuple[dict[str, int], int]:
        """Commands (those that scripts call included) and bytes that arrive while some work is done."""
        self._client.config_resetstat()
        before = self._bytes()
        work()
        spent = self._bytes() - before - self._own_bytes
        commands = {name[8:]: facts["calls"] for name, facts in self._client.info("commandstats").items()}
        return {name: count for name, count in commands.items() if not name.startswith(("info", "config"))}, spent


def function_calls(work: Callable[[], object]) -> int:
    """Calls of functions, Python's and C's, in this thread; the least of several tries (caches fill, locks wait)."""

    def once() -> int:
        count = 0

        def look(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal count
            if event in ("call", "c_call"):
                count += 1

        sys.setprofile(look)
        try:
            work()
        finally:
            sys.setprofile(None)
        return count

    return min(once() for _ in range(ROUNDS))


@pytest.fixture
def own(own_server: Callable[..., ServerProcess]) -> ServerProcess:
    return own_server()


@pytest.fixture
def stepwise(own: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepwise]:
    """Client, worker and inbox in this thread. What they decide by the clock is settled: counts do not depend on it."""
    monkeypatch.setattr(Prefetched, "batch_for", lambda ready, slots, busy: LARGEST_BATCH)
    monkeypatch.setattr(ack_buffer, "HOLD_SECONDS", 3600.0)
    with throwaway_fleet(redis_url=own.url) as fleet:
        steps = Stepwise(fleet)
        futures = same.map(range(2 * LARGEST_BATCH))  # scripts are loaded, connections opened, caches filled
        steps.run(len(futures))
        steps.resolve(futures)
        assert futures.result() == list(range(len(futures)))
        same.delay(0)
        steps.run(1)
        yield steps


@pytest.fixture
def ledger(own: ServerProcess) -> Iterator[Ledger]:
    with own.client() as client:
        yield Ledger(client)


def test_a_delay_is_one_script_and_one_round_trip(stepwise: Stepwise, ledger: Ledger) -> None:
    calls = 100
    commands, spent = ledger.of(lambda: [same.delay(number) for number in range(calls)])
    assert commands.pop("evalsha") == calls
    assert sum(commands.values()) <= 7 * calls, commands  # one of them counts what was submitted, for the metrics
    assert spent <= 262 * calls  # bytes; 239 when it was written


async def of_coroutines(calls: int) -> None:
    await asyncio.gather(*(same.adelay(number) for number in range(calls)))


def test_64_coroutines_are_one_short_script(stepwise: Stepwise, ledger: Ledger) -> None:
    calls = 64
    with asyncio.Runner() as runner:
        runner.run(of_coroutines(calls))
        commands, spent = ledger.of(lambda: runner.run(of_coroutines(calls)))
        assert commands.pop("evalsha") == 1
        assert sum(commands.values()) <= 12, commands  # as many as for a block of four
        assert spent <= 14 * calls  # bytes
        # Of the loop's thread, with the task that asyncio makes of each; the sender's thread sends them as one.
        assert function_calls(lambda: runner.run(of_coroutines(calls))) <= 97.2 * 1.15 * calls


def test_a_map_of_1000_is_two_scripts(stepwise: Stepwise, ledger: Ledger) -> None:
    calls = 1000
    commands, spent = ledger.of(lambda: same.map(range(calls)))
    assert commands.pop("evalsha") <= 2
    # As many more as there are scripts, for the metrics; and for the look at the queue before anything is written.
    assert sum(commands.values()) <= 3 * calls + 10, commands
    assert spent <= 125 * calls  # 114


def test_1000_calls_are_run_and_their_ends_stored_with_24_scripts_in_17_round_trips(
    stepwise: Stepwise, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, trips = 1000, 0
    exchange, mine = Dialogue.exchange, threading.get_ident()

    def counted(dialogue: Dialogue, batch: Sequence[Sequence[Any]], *arguments: Any) -> list[Any]:
        nonlocal trips
        trips += threading.get_ident() == mine  # what else lives in this process may talk to a server of its own
        return exchange(dialogue, batch, *arguments)

    monkeypatch.setattr(prefetched, "BATCH_SECONDS", 3600.0)  # as many at once as on a machine that is not busy
    futures = same.map(range(calls))
    monkeypatch.setattr(Dialogue, "exchange", counted)
    commands, spent = ledger.of(lambda: stepwise.run(calls))
    assert trips <= 17  # 8 that settle and fetch 128 calls, 8 that send 100 ends, and the last
    assert commands.pop("evalsha") <= 24
    # Of a call: read, and read, written, given a time to live. Of a fetch, since queues can be paused: which are; and
    # two reads of a queue instead of one, since the first calls say how many of the others fit into a reply.
    assert sum(commands.values()) <= 4 * calls + 200, commands
    assert spent <= 135 * calls  # 124; the name of the worker is 13 of them
    stepwise.resolve(futures)
    assert sum(futures.result()) == sum(range(calls))


def test_the_ends_of_1000_calls_come_in_one_read_and_their_results_need_none(
    stepwise: Stepwise, ledger: Ledger
) -> None:
    calls = 1000
    futures = same.map(range(calls))
    stepwise.run(calls)
    commands, spent = ledger.of(lambda: stepwise.resolve(futures))
    assert sum(commands.values()) <= 3, commands
    assert spent <= 320
    commands, spent = ledger.of(futures.result)
    assert (commands, spent) == ({}, 0)


def test_events_of_runs_are_the_entries_of_the_journal(stepwise: Stepwise, ledger: Ledger, own: ServerProcess) -> None:
    """So an event costs a run nothing: it is made when somebody reads."""
    calls = 100
    with own.client() as client:
        assert client.xlen("{orchestrator}:journal") > 0
        before = client.xlen("{orchestrator}:evt")
        commands, _ = ledger.of(lambda: same.map(range(calls)))
        assert commands["xadd"] <= calls + 2  # the queue, and one for the journal
        commands, _ = ledger.of(lambda: stepwise.run(calls))
        assert commands["xadd"] <= commands["evalsha"] + 2
        assert client.xlen("{orchestrator}:evt") == before


def test_the_python_function_calls_of_one_call(stepwise: Stepwise) -> None:
    """At most 15 % more than when this was written (in Python 3.11)."""
    calls = 1000
    assert function_calls(lambda: same.delay(1)) <= 73 * 1.15
    assert function_calls(lambda: same.submit(1)) <= 93 * 1.15
    stepwise.run(2 * ROUNDS)
    maps: list[Any] = []
    assert function_calls(lambda: maps.append(same.map(range(calls)))) <= 30.2 * 1.15 * calls
    assert function_calls(lambda: stepwise.run(calls)) <= 124.3 * 1.15 * calls  # 4 are what earlier tests leave behind
    stepwise.resolve([future for futures in maps for future in futures])
    each = iter(maps)
    assert function_calls(lambda: next(each).result()) <= 24.0 * 1.15 * calls
