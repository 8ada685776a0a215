"""Handles of a map that are made on demand: to whoever uses the list, one like that of handles that are all there."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from pydantic import TypeAdapter

from brokers import block_ends, block_ids
from brokers.block_ends import BlockEnds
from orchestrator import serializers
from orchestrator.client import map_ends, map_future, map_list, map_runs
from orchestrator.client.map_future import MapFuture
from orchestrator.client.map_list import MapFutureList
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.progress_bar import Tally
from orchestrator.client.waiting import wait_async
from orchestrator.futures import PrefectFuture, PrefectFutureList, as_completed, resolve_futures_to_results, wait
from orchestrator.runs import run_ids
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from orchestrator.serializers import PayloadLimits
from orchestrator.serializers.outcomes import pack_outcome, result_context
from orchestrator.states import Completed, Failed, Pending, State
from orchestrator.submission import placeholders
from tests.support.memory import made_with_size
from tests.support.waiting import wait_until

placeholders.register()
CALLS = 258  # two blocks, and two calls that are in none


class Source:
    """Ends come from the test."""

    def __init__(self) -> None:
        self.attached: list[Any] = []
        self.on_attach: Callable[[], None] = lambda: None

    def attach(self, futures: Sequence[Any]) -> None:
        self.attached += futures
        threading.Thread(target=self.on_attach).start()

    def latest_state(self, run_id: str) -> State[Any]:
        return Pending(task_run_id=run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        return [True] * len(run_ids)

    def look_for_standstill(self, futures: Sequence[Any], any_of: bool) -> bool:
        return False

    def still_waiting(self, futures: Sequence[Any]) -> None: ...

    def stop_watching(self, futures: Sequence[Any]) -> None: ...


class Map:
    """A map of calls, the n-th of which returns n; and the same with handles that are all there."""

    def __init__(self, calls: int = CALLS) -> None:
        self.source = Source()
        self.run_ids = new_map_run_ids(calls)
        self.runs = MapRuns(self.run_ids, self.source, MapFuture)
        self.futures = MapFutureList[Any].of(self.runs)
        self.plain = PrefectFutureList(PrefectFuture[Any](run_id, source=self.source) for run_id in self.run_ids)

    def outcome(self, position: int, letter: str = "C") -> bytes:
        run_id = self.run_ids[position]
        if letter == "C":
            body = serializers.pack_value(
                position, context=lambda: result_context(run_id), limits=PayloadLimits(), enclosed=True
            )
        else:
            body = serializers.pack_exception(ValueError(position), PayloadLimits())
        return pack_outcome(None, None, 1.0, 2.0, 1, body)

    def end(self, positions: Sequence[int], letter: str = "C") -> None:
        """As the inbox has it: pieces of blocks, and single ends."""
        for position in positions:
            self.plain[position].settle(letter.encode(), self.outcome(position, letter))
        for number in range(len(self.run_ids.blocks)):
            of_block = [at for at in positions if at // 128 == number and at < self.run_ids.in_blocks]
            if of_block:
                self.runs.end_piece(self.piece(of_block, letter * len(of_block)))
        for position in positions:
            if position >= self.run_ids.in_blocks:
                self.runs.end_one(position, letter.encode() + self.outcome(position, letter))

    def piece(self, positions: Sequence[int], letters: str) -> BlockEnds:
        outcomes = [self.outcome(at, letter) for at, letter in zip(positions, letters, strict=True)]
        places = bytes(at % 128 for at in positions)
        return BlockEnds(self.run_ids.blocks[positions[0] // 128], places, letters.encode(), msgpack.packb(outcomes))

    def end_all(self) -> None:
        self.end(range(0, len(self.run_ids), 2))
        self.end(range(1, len(self.run_ids), 2))

    @property
    def handles(self) -> int:
        """How many have been made and are held."""
        return len(self.runs._made.among(range(len(self.run_ids))))


def is_whole(futures: PrefectFutureList[Any]) -> bool:
    return isinstance(futures, MapFutureList) and futures.whole is not None


# -- the same as a list of handles ------------------------------------------------------------------------------------


def _deletes(*slices: Any) -> Callable[[list[Any]], Any]:
    def delete(futures: list[Any]) -> None:
        for one in slices:
            del futures[one]

    return delete


def _sets(futures: list[Any]) -> Any:
    futures[1:3] = futures[:1]
    futures[0] = futures[5]


def _grows(futures: list[Any]) -> Any:
    other = futures[:2]
    futures += other
    futures *= 2
    futures.append(other[0])
    futures.extend(iter(other))
    futures.insert(1, other[1])


def _adds_to_another(futures: list[Any]) -> Any:
    other: list[Any] = [1]
    alias = other
    other += futures
    assert alias is other
    return other


def _changes_while_it_goes_through(futures: list[Any]) -> Any:
    seen = []
    for future in futures:
        seen.append(future)
        if len(seen) % 50 == 0:
            del futures[:10]
        if len(seen) == 160:
            futures.sort(key=lambda one: one.run_id, reverse=True)
    return seen


OPERATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "star": lambda futures: [*futures],
    "tuple": tuple,
    "set": set,
    "len": lambda futures: (len(futures), bool(futures)),
    "sorted": lambda futures: sorted(futures, key=lambda future: future.run_id, reverse=True),
    "zip": lambda futures: list(zip(futures, range(10), strict=False)),
    "enumerate": lambda futures: dict(enumerate(futures)),
    "reversed": lambda futures: list(reversed(futures)),
    "first and last": lambda futures: (futures[0], futures[-1], futures[True]),
    "too far": lambda futures: futures[len(futures)],
    "not an index": lambda futures: futures["a"],  # type: ignore[call-overload]
    "slices": lambda futures: (futures[3:9], futures[::-7], futures[500:], futures[-3:]),
    "plus": lambda futures: futures + [1],  # noqa: RUF005
    "added to": lambda futures: [1] + futures,  # noqa: RUF005
    "added to another": _adds_to_another,
    "sum": lambda futures: sum([futures, futures], []),  # noqa: RUF017
    "times": lambda futures: (futures * 2, 2 * futures),
    "equal": lambda futures: (futures == list(futures), list(futures) == futures, futures != futures[1:]),
    "order": lambda futures: futures[:0] < futures,
    "in": lambda futures: (futures[7] in futures, PrefectFuture(new_run_id()) in futures, 3 in futures),
    "index and count": lambda futures: (futures.index(futures[9]), futures.count(futures[9])),
    "index of another": lambda futures: futures.index(1),
    "copy": lambda futures: (futures.copy(), type(futures.copy())),
    "copied": lambda futures: (copy.copy(futures), type(copy.copy(futures))),
    "copied deeply": lambda futures: (copy.deepcopy(futures), copy.deepcopy({"a": futures})),
    "pickled": lambda futures: (pickle.loads(pickle.dumps(futures)), type(pickle.loads(pickle.dumps(futures)))),
    "repr": repr,
    "json": lambda futures: json.dumps(futures, default=str),
    "delete": _deletes(slice(0, 10), slice(-10, None), 0, -1, 3, slice(2, 9, 3), slice(9, 2, -1), slice(40, 40)),
    "delete the first": _deletes(slice(None, 3), 0, slice(None, None, -1)),
    "delete the last": _deletes(-1, slice(-3, None)),
    "delete none": _deletes(999),
    "delete what is none": _deletes("a"),
    "pop": lambda futures: (futures.pop(), futures.pop(0), futures.pop(5), futures.pop(-1)),
    "pop too far": lambda futures: futures.pop(999),
    "reverse": lambda futures: (futures.reverse(), futures[:3], futures.pop(), futures.reverse()),
    "clear": lambda futures: (futures.clear(), futures.append(1)),
    "replace": _sets,
    "grow": _grows,
    "remove": lambda futures: futures.remove(futures[3]),
    "sort": lambda futures: futures.sort(key=lambda future: future.run_id[::-1]),
    "changed while it is gone through": _changes_while_it_goes_through,
    "hash": hash,
    "resolved": lambda futures: resolve_futures_to_results({"a": futures[:3], "b": futures}),
    "results": lambda futures: futures.result(),  # type: ignore[attr-defined]
    "results without raising": lambda futures: futures.result(raise_on_failure=False),  # type: ignore[attr-defined]
    "states": lambda futures: [(state.name, state.data) for state in futures.states],  # type: ignore[attr-defined]
    "packed": lambda futures: serializers.pack_call(
        (futures,), {"x": [futures]}, context=lambda: ("a",), limits=PayloadLimits()
    ),
    "as completed": lambda futures: set(as_completed(futures)),
    "wait": lambda futures: wait(futures),
    "wait a moment": lambda futures: wait(futures, timeout=0),
    "of its kind": lambda futures: (isinstance(futures, list), isinstance(futures, PrefectFutureList)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("taken", [False, True])
def test_a_list_whose_handles_are_made_on_demand_is_like_any_other(name: str, taken: bool) -> None:
    one = Map()
    before = one.futures[10:20] if taken else []  # some are there already
    one.end_all()
    found = []
    for futures in (one.futures, one.plain):
        try:
            came: Any = OPERATIONS[name](futures)
        except Exception as error:
            came = type(error), str(error).replace("MapFutureList", "PrefectFutureList")
        found.append(came)
    assert found[0] == found[1]
    assert list(one.futures) == list(one.plain)
    assert len(one.futures) == len(one.plain)
    assert all(type(future) is not type(one.plain) for future in one.futures)
    if taken and name in ("list", "reverse"):
        assert all(future is one.runs.handle(at) for at, future in enumerate(before, 10))


def test_two_lists_of_handles_that_are_not_made_are_compared() -> None:
    first, second = Map(8), Map(8)
    again = MapFutureList[Any].of(first.runs)
    assert first.futures == again
    assert first.futures != second.futures
    assert first.futures + second.futures == [*first.plain, *second.plain]


def test_what_reads_the_list_past_its_methods_finds_no_empty_list() -> None:
    one = Map(8)
    for read in TypeAdapter(list[Any]).validate_python(one.futures):
        with pytest.raises(TypeError, match=r"list\(futures\)"):
            read.result()
    assert TypeAdapter(list[Any]).validate_python(list(one.futures)) == one.plain


# -- which handles there are ------------------------------------------------------------------------------------------


def test_waiting_reading_and_packing_make_no_handles() -> None:
    one = Map()
    one.source.on_attach = one.end_all
    one.futures.wait()
    assert one.source.attached == [one.runs]
    assert one.futures.result() == list(range(CALLS))
    assert len(one.futures.states) == CALLS
    one.futures.reverse()
    assert one.futures.result() == list(range(CALLS))[::-1]
    assert is_whole(one.futures)
    assert one.handles == 0


def test_a_handle_is_the_same_as_long_as_somebody_holds_it() -> None:
    one = Map()
    first, last = one.futures[0], one.futures[-1]
    assert first is one.futures[0]
    assert next(iter(one.futures)) is first
    assert one.futures[:1][0] is first
    assert next(reversed(one.futures)) is last
    one.end_all()
    assert first is one.futures[0]
    assert (first.result(), last.result()) == (0, CALLS - 1)
    assert (first, last) == (one.plain[0], one.plain[-1])
    assert one.handles == 2
    del first, last
    assert one.handles == 0


def test_who_goes_through_a_map_holds_a_slice_of_its_handles() -> None:
    one = Map(2_000)
    most = 0
    for _ in one.futures:
        most = max(most, one.handles)
    assert most <= 2 * 128


def test_a_call_of_a_map_takes_few_bytes_more_than_its_outcome() -> None:
    one = Map(6_400)
    pieces = [one.piece(range(first, first + 128), "C" * 128) for first in range(0, 6_400, 128)]
    held = sum(len(piece.packed) + len(piece.places) + len(piece.letters) for piece in pieces)

    def settled() -> MapFutureList[Any]:
        runs = MapRuns(new_map_run_ids(6_400), one.source, MapFuture)
        for block, piece in zip(runs.run_ids.blocks, pieces, strict=True):
            runs.end_piece(BlockEnds(block, bytes(bytearray(piece.places)), piece.letters, piece.packed))
        return MapFutureList[Any].of(runs)

    futures, taken = made_with_size(settled, block_ends, block_ids, map_ends, map_future, map_list, map_runs, run_ids)
    assert held < 80 * 6_400
    assert len(futures) == 6_400
    assert taken < 20 * 6_400, "beside the outcomes, which the inbox has read"


# -- ends -------------------------------------------------------------------------------------------------------------


def test_handles_settle_with_the_map_whenever_they_are_made() -> None:
    one = Map()
    early, called = one.futures[130], []
    early.add_done_callback(called.append)
    assert not early.settled
    one.end([129, 130, 257])
    assert early.settled
    late = one.futures[257]
    late.add_done_callback(called.append)
    wait_until(lambda: sorted(called, key=lambda one: one.run_id) == sorted([early, late], key=lambda one: one.run_id))
    assert (early.result(), late.result(), one.futures[129].result()) == (130, 257, 129)
    assert not one.futures[0].settled
    assert one.futures[0].state.name == "Pending"
    assert one.futures.states[0].name == "Pending"


def test_a_handle_that_is_settled_settles_the_map() -> None:
    one = Map(6)
    one.futures[0].settle(b"C", one.outcome(0))
    one.futures[1].settle_state(Completed(data="given"))
    one.futures[2].settle_state(Failed(data=ValueError("given")))
    one.futures[2].settle_state(Completed(data="too late"))
    one.end([0, 1, 2, 3, 4, 5])
    assert one.futures.result(raise_on_failure=False)[:2] == [0, "given"]
    assert [future.settled for future in one.futures] == [True] * 6
    with pytest.raises(ValueError, match="given"):
        one.futures.result()


def test_the_first_end_of_a_run_counts() -> None:
    one = Map()
    one.end([3], "F")
    one.runs.end_piece(one.piece(range(128), "C" * 128))
    one.runs.end_piece(one.piece(range(128), "C" * 128))
    assert one.runs.ends.left == CALLS - 128
    assert one.futures[3].state.is_failed()
    assert [future.result() for future in one.futures[:3]] == [0, 1, 2]
    assert one.futures[4].result() == 4


def test_places_that_a_block_does_not_have_and_those_that_are_there_twice() -> None:
    one = Map(10)
    outcomes = [one.outcome(at) for at in (2, 3, 2, 4)]
    damaged = BlockEnds(one.run_ids.blocks[0], bytes((2, 200, 2, 9)), b"CCFC", msgpack.packb(outcomes))
    assert list(one.runs.end_piece(damaged)) == [2, 9]
    assert one.runs.ends.left == 8
    assert one.futures[2].result() == 2
    foreign = damaged._replace(block=new_map_run_ids(4).blocks[0])
    assert one.runs.end_piece(foreign) == ()


def test_results_fail_with_the_first_failure_and_wait_for_no_other() -> None:
    one = Map()
    one.source.on_attach = lambda: one.end([200], "F")
    with pytest.raises(ValueError, match="200"):
        one.futures.result(timeout=60)
    with pytest.raises(ValueError, match="200"):  # it is known at once
        one.futures.result(timeout=60)
    with pytest.raises(TimeoutError, match=f"{CALLS - 1} of {CALLS} runs"):
        one.futures.result(timeout=0.01, raise_on_failure=False)
    assert not one.runs._callbacks
    assert not one.runs._listeners
    one.end_all()
    results = one.futures.result(raise_on_failure=False)
    assert results[:200] == list(range(200))
    assert isinstance(results[200], ValueError)


def test_a_part_of_a_map_waits_for_itself_only() -> None:
    one = Map()
    del one.futures[5:]
    one.end(range(5))
    assert one.futures.result(timeout=60) == [0, 1, 2, 3, 4]
    one.futures.wait(timeout=60)


def test_a_replayed_run_ends_once_more() -> None:
    one = Map(8)
    one.end_all()
    future = one.futures[3]
    future.reopen()
    assert (future.settled, one.runs.settled, one.runs.watched) == (False, False, False)
    with pytest.raises(TimeoutError, match="1 of 8"):
        one.futures.result(timeout=0.01)
    one.runs.end_piece(one.piece([3], "F"))
    assert future.state.is_failed()
    assert [type(value) for value in one.futures.result(raise_on_failure=False)[2:5]] == [int, ValueError, int]
    future.reopen()
    one.runs.end_one(3, b"C" + one.outcome(3))
    assert one.futures.result() == list(range(8))


def test_an_outcome_that_cannot_be_read_is_the_error_of_its_run() -> None:
    one = Map(8)
    one.runs.end_piece(one.piece(range(8), "C" * 8)._replace(packed=msgpack.packb([b"\xc1"] * 8)))
    assert {state.name for state in one.futures.states} == {"Unreadable"}
    with pytest.raises(Exception, match="cannot be read"):
        one.futures.result()


# -- who waits --------------------------------------------------------------------------------------------------------


def test_as_completed_gives_the_order_of_the_ends() -> None:
    one = Map(8)
    one.end([5])
    completed = as_completed(one.futures)
    assert next(completed) is one.futures[5]
    one.end([7, 0])
    assert [next(completed), next(completed)] == [one.plain[7], one.plain[0]]
    with pytest.raises(TimeoutError, match="5 of 8"):
        list(as_completed(one.futures, timeout=0.01))
    del completed
    assert not one.runs._listeners


def test_as_completed_makes_handles_one_by_one_and_gives_each_run_once() -> None:
    one = Map()
    one.end_all()
    completed = as_completed(one.futures)
    first = next(completed)
    first.reopen()
    one.runs.end_one(0, b"C" + one.outcome(0))  # it ends again
    most, seen = 0, [first.run_id]
    del first
    for future in completed:
        seen.append(future.run_id)
        most = max(most, one.handles)
    assert most <= 2
    assert sorted(seen) == sorted(one.run_ids)


def test_awaiting_all_of_a_map() -> None:
    one = Map()
    one.source.on_attach = one.end_all
    asyncio.run(wait_async(one.futures))
    assert one.source.attached == [one.runs]
    assert one.runs.settled


def test_a_bar_counts_ends_without_handles() -> None:
    one = Map()
    tally = Tally(CALLS)
    one.end([1, 2], "F")
    with one.runs.notifying(lambda positions: tally.count_of_map(one.runs, positions)):
        one.end([3, 256])
    one.end([4])
    assert tally.states == "Failed 2  Completed 2"
    assert one.handles == 0


def test_many_threads_settle_wait_and_take_handles() -> None:
    one = Map(2_560)
    pieces = [one.piece(range(first, first + 64), "C" * 64) for first in range(0, 2_560, 64)]
    failures: list[BaseException] = []

    def run(fn: Callable[[], Any]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                fn()
            except BaseException as error:
                failures.append(error)

        return guarded

    ways = [
        lambda: [one.runs.end_piece(piece) for piece in pieces],
        lambda: [one.runs.end_piece(piece) for piece in reversed(pieces)],
        lambda: one.futures.result(timeout=60),
        lambda: [future.result(timeout=60) for future in one.futures],
        lambda: sorted(one.futures, key=lambda future: future.run_id)[-1].wait(60),
        lambda: [future.result() for future in as_completed(one.futures, timeout=60)],
    ]
    threads = [threading.Thread(target=run(fn)) for fn in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert one.runs.ends.left == 0
    assert one.futures.result() == list(range(2_560))


def test_threads_that_change_a_list_lose_nothing_of_each_other() -> None:
    for _ in range(20):
        one = Map(300)
        more = [PrefectFuture[Any](new_run_id()) for _ in range(8)]
        threads = [threading.Thread(target=one.futures.append, args=(future,)) for future in more]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(one.futures) == 308
        assert list(one.futures)[:300] == one.plain
        assert set(list(one.futures)[300:]) == set(more)


def test_a_map_in_a_forked_process_is_asked_for_by_its_successor() -> None:
    one = Map()
    one.end([1])
    one.runs.watched = True
    successor = SimpleNamespace()
    one.runs.ends.left = 7  # as if another thread had been at it
    one.runs.move_to(successor)  # type: ignore[arg-type]
    assert (one.runs.source, one.runs.watched, one.runs.ends.left) == (successor, False, CALLS - 1)
    assert len(list(one.runs.open_run_ids())) == CALLS - 1
