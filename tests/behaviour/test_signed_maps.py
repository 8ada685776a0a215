"""Maps that are signed and encrypted: somebody who can write to the store changes, moves and swaps parts of blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.block_ids import BLOCK_CHARACTERS
from brokers.messages import Status
from orchestrator import tags
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCrashed
from orchestrator.futures import PrefectFutureList
from orchestrator.settings import Settings
from tests.support.apps import basics
from tests.support.engines import Engine
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

APP = "tests.support.apps.basics"
CALLS = 40
KEYS = {"require_signature": True, "encryption_key": "a key that encrypts " * 2}
Map = PrefectFutureList[Any]
Block = dict[bytes, bytes]


@pytest.fixture
def settings(engine: Engine, server: ServerProcess, namespace: str) -> Settings:
    return engine.settings(server, namespace, **KEYS)


@pytest.fixture
def fleet(settings: Settings) -> Iterator[Fleet]:
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def work(engine: Engine, settings: Settings) -> Iterator[Callable[[], None]]:
    """Start a worker; called when the store is as a test wants it."""
    started = []
    yield lambda: started.append(engine.start_worker(settings, APP))
    for worker in started:
        worker.retire()


class Stored:
    """Blocks as somebody sees them who may write to the store."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def _key(self, calls: Map) -> str:
        return f"{self._fleet.broker.keys.prefix}b:{calls[0].run_id[:BLOCK_CHARACTERS]}"

    def read(self, calls: Map) -> Block:
        (flat,) = self._fleet.broker.wires.commands([("HGETALL", self._key(calls))])
        return dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))

    def write(self, calls: Map, **fields: bytes) -> None:
        pairs = [part for pair in fields.items() for part in pair]
        self._fleet.broker.wires.commands([("HSET", self._key(calls), *pairs)])


def bodies_of(block: Block) -> list[bytes]:
    ends = struct.unpack(f">{len(block[b'l']) // 4}I", block[b"l"])
    return [block[b"b"][begin:end] for begin, end in zip((0, *ends), ends, strict=False)]


def packed(bodies: list[bytes]) -> dict[str, bytes]:
    ends = [sum(map(len, bodies[: at + 1])) for at in range(len(bodies))]
    return {"b": b"".join(bodies), "l": struct.pack(f">{len(ends)}I", *ends)}


def notes_of(book: Path) -> list[str]:
    """What the calls of ``basics.write`` wrote that ran."""
    return sorted(book.read_text().split()) if book.exists() else []


def with_a_flipped_bit(body: bytes, at: int) -> bytes:
    return body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]


def assert_refused(calls: Map, places: Any) -> None:
    """That these are dead letters, of no call of which anything ran, and that all others completed."""
    for place, future in enumerate(calls):
        future.wait(60)
        if place in places:
            with pytest.raises(RunCrashed, match="UntrustedPayload"):
                future.result(timeout=1)
        else:
            assert future.result(timeout=1) is None, place


def test_what_somebody_did_to_a_block_costs_the_calls_that_it_was_done_to_and_runs_nothing(
    fleet: Fleet, work: Callable[[], None], tmp_path: Path
) -> None:
    book, stored = tmp_path / "book", Stored(fleet)

    def sent(name: str) -> Map:
        return basics.write.map(str(book), [f"{name}-{at:02d}\n" for at in range(CALLS)])

    swapped, mixed, other, changed, unsigned, shifted, renamed, framed, good = map(
        sent, ("swapped", "mixed", "other", "changed", "unsigned", "shifted", "renamed", "framed", "good")
    )
    with tags("another"):
        tagged = sent("tagged")
    bodies = {id(calls): bodies_of(stored.read(calls)) for calls in (swapped, mixed, other, changed, unsigned, shifted)}

    one = bodies[id(swapped)]
    one[3], one[30] = one[30], one[3]
    stored.write(swapped, **packed(one))
    here, there = bodies[id(mixed)], bodies[id(other)]
    here[7], there[7] = there[7], here[7]
    stored.write(mixed, **packed(here))
    stored.write(other, **packed(there))
    one = bodies[id(changed)]
    one[0], one[39] = with_a_flipped_bit(one[0], len(one[0]) - 1), with_a_flipped_bit(one[39], 40)
    stored.write(changed, **packed(one))
    one = bodies[id(unsigned)]
    one[5] = b"\x01" + b"\x92\x92" + b"\xa1/" + b"\xa6forged" + b"\x80"
    stored.write(unsigned, **packed(one))
    ends = list(struct.unpack(f">{CALLS}I", stored.read(shifted)[b"l"]))
    ends[10] += 1  # the call behind it lacks a byte
    stored.write(shifted, l=struct.pack(f">{CALLS}I", *ends))
    stored.write(renamed, t=basics.pair.task_key.encode())
    stored.write(framed, m=stored.read(tagged)[b"m"])

    work()
    everything = range(CALLS)
    for calls, places in (
        (swapped, {3, 30}), (mixed, {7}), (other, {7}), (changed, {0, 39}), (unsigned, {5}), (shifted, {10, 11}),
        (renamed, everything), (framed, everything), (tagged, ()), (good, ()),
    ):  # fmt: skip
        assert_refused(calls, places)
    names = {"swapped": {3, 30}, "mixed": {7}, "other": {7}, "changed": {0, 39}, "unsigned": {5}, "shifted": {10, 11}}
    names |= {"tagged": set(), "good": set()}
    assert notes_of(book) == sorted(
        f"{name}-{at:02d}" for name, refused in names.items() for at in everything if at not in refused
    )


def test_a_block_that_is_put_in_the_place_of_another_runs_nothing(
    fleet: Fleet, work: Callable[[], None], tmp_path: Path
) -> None:
    book, stored = tmp_path / "book", Stored(fleet)
    first, second = (basics.write.map(str(book), [f"{name}\n"] * CALLS) for name in ("first", "second"))
    of_first = stored.read(first)
    stored.write(second, **{name.decode(): value for name, value in of_first.items()})
    work()
    assert_refused(second, range(CALLS))
    assert_refused(first, ())
    assert notes_of(book) == ["first"] * CALLS


def test_what_leaves_its_block_takes_its_signature_along(fleet: Fleet, work: Callable[[], None]) -> None:
    """A call that is cancelled, that failed and is replayed, that is replayed in the place of another."""
    halves = basics.halve.map([2, 4, 5, *range(0, 2 * CALLS, 2)])  # odd numbers fail
    sums = basics.add.map(halves[3:], 1)
    assert halves[1].cancel()
    work()
    assert sums.result(timeout=60) == [at + 1 for at in range(CALLS)]
    assert halves[0].result(timeout=60) == 1
    failed = halves[2]
    failed.wait(60)
    ended = {(basics.halve.task_key, Status.FAILED): 1, (basics.halve.task_key, Status.CANCELLED): 1}
    assert ended.items() <= fleet.broker.figures.ended().items()

    run_id, keys = failed.run_id, fleet.broker.keys
    assert fleet.broker.runs.replay([run_id]) == [run_id]
    wait_until(lambda: fleet.broker.figures.ended()[basics.halve.task_key, Status.FAILED] == 2, 60)  # it was run
    (body,) = fleet.broker.wires.commands([("HGET", keys.record(run_id), "b")])
    assert body[0] == 0x84  # signed and encrypted
    done = halves[0].run_id
    (moved,) = fleet.broker.runs.replay([done])
    wait_until(lambda: fleet.broker.records.read([moved])[0].status == Status.COMPLETED, 60)
    fleet.broker.wires.commands([("HSET", keys.record(done), "b", body)])  # that of its neighbour
    assert fleet.broker.runs.replay([done]) == [done]
    wait_until(lambda: fleet.broker.records.read([done])[0].status == Status.CRASHED, 60)
    assert fleet.broker.dead_letters.newest() == [done]
