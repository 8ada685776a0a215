"""Handles that wait: which of them are kept, and which answers of the store settle them. The store is played."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import pytest

from brokers.base import Broker
from brokers.block_ends import BlockEnds
from brokers.errors import BrokerUnavailable
from brokers.messages import Record, RunEnd, Status
from brokers.sender import Sender
from orchestrator.client import open_futures
from orchestrator.client.map_future import MapFuture
from orchestrator.client.map_list import MapFutureList
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.open_futures import OpenFutures
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from tests.support.waiting import wait_until

OUTCOME = b"\0"


class Store:
    """What the test says about runs; unknown until then."""

    def __init__(self) -> None:
        self.ends: dict[str, bytes] = {}
        self.running: set[str] = set()
        self.expected: list[list[str]] = []
        self.is_away = False
        self.gaps = 0
        self.on_gap: Callable[[], None] = lambda: None

    def expect(self, run_ids: Sequence[str], process: str) -> list[RunEnd]:
        if self.is_away:
            raise BrokerUnavailable("away")
        self.expected.append(list(run_ids))
        return [(run, self.ends.get(run, Status.UNKNOWN), OUTCOME) for run in run_ids if run not in self.running]

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        return [Record(run, self.ends[run], OUTCOME) for run in run_ids]

    def inbox(
        self,
        process: str,
        *,
        on_settled: Any,
        on_orders: Any,
        on_gap: Callable[[], None],
        on_pieces: Any,
        is_quiet: Callable[[], bool],
    ) -> Any:
        self.on_gap = on_gap
        return SimpleNamespace(start=lambda: None, stop=lambda: None, ask_again=self._note_gap, listen=lambda: None)

    def _note_gap(self) -> None:
        self.gaps += 1


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> OpenFutures:
    monkeypatch.setattr(open_futures, "BEING_SENT_SECONDS", 0.0)
    broker = SimpleNamespace(
        inboxes=SimpleNamespace(expect=store.expect, inbox=store.inbox), records=SimpleNamespace(read=store.read)
    )
    sender = SimpleNamespace(flush=lambda until=None: None)
    return OpenFutures(cast(Broker, broker), cast(Sender, sender), "me", 2.0)


def handle(run_id: str | None = None) -> PrefectFuture[Any]:
    return PrefectFuture(run_id or new_run_id())


def test_all_handles_on_a_run_settle_with_it_and_none_is_kept(opened: OpenFutures, store: Store) -> None:
    first = handle()
    second = handle(first.run_id)
    store.running.add(first.run_id)
    opened.attach([first])
    opened.attach([second])
    opened.attach([second])  # who asks again is not registered again
    assert opened.is_open(first.run_id)
    opened.settle_ends([(first.run_id, Status.COMPLETED, OUTCOME)])
    assert first.settled
    assert second.settled
    assert not opened.is_open(first.run_id)


def test_an_end_that_the_store_has_already_settles_at_once(opened: OpenFutures, store: Store) -> None:
    future = handle()
    store.ends[future.run_id] = Status.FAILED
    opened.attach([future])
    assert future._status == Status.FAILED


def test_a_long_outcome_is_read_from_the_store(opened: OpenFutures, store: Store) -> None:
    future = handle()
    opened.watch(future)
    store.ends[future.run_id] = Status.COMPLETED
    opened.settle_ends([(future.run_id, Status.COMPLETED, b"")])
    assert future._status == Status.COMPLETED


def test_a_detached_handle_leaves_its_place_to_the_next(opened: OpenFutures, store: Store) -> None:
    first = handle()
    second = handle(first.run_id)
    store.running.add(first.run_id)
    opened.attach([first])
    opened.attach([second])
    opened.detach(first)
    opened.settle(first.run_id, Status.COMPLETED, OUTCOME)
    assert (first.settled, second.settled) == (False, True)


def test_a_run_that_is_being_sent_is_asked_for_again_and_not_lost(opened: OpenFutures, store: Store) -> None:
    future = handle()
    opened.open_inbox()
    batch = opened.begin_to_send([future.run_id])
    opened.attach([future])
    assert not future.settled
    opened.has_sent(batch)
    assert store.gaps == 1, "somebody has to ask again"
    store.on_gap()
    assert future._status == Status.UNKNOWN


def test_handles_stay_open_while_the_server_is_away(opened: OpenFutures, store: Store) -> None:
    future = handle()
    opened.open_inbox()
    store.is_away = True
    opened.attach([future])
    assert (future.settled, store.gaps) == (False, 1)
    store.is_away = False
    store.ends[future.run_id] = Status.COMPLETED
    store.on_gap()
    assert future._status == Status.COMPLETED


def test_without_an_inbox_who_attaches_learns_that_the_server_is_away(opened: OpenFutures, store: Store) -> None:
    future = handle()
    store.is_away = True
    opened._broker.inboxes.inbox = _refuse  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable):
        opened.attach([future])
    assert not future.watched, "the next one who asks registers it"


# -- maps, whose handles are made on demand ----------------------------------------------------------------------------


def a_map(opened: OpenFutures, calls: int = 10) -> tuple[MapRuns, MapFutureList[Any]]:
    source = SimpleNamespace(
        attach=opened.attach, stop_watching=opened.stop_watching, still_waiting=lambda futures: None
    )
    runs = MapRuns(new_map_run_ids(calls), cast(Any, source), MapFuture)
    futures = MapFutureList[Any].of(runs)
    opened.watch_all(futures)
    return runs, futures


def a_piece(runs: MapRuns, places: Sequence[int], letters: str) -> BlockEnds:
    packed = msgpack.packb([b"%d" % place for place in places])
    return BlockEnds(runs.run_ids.blocks[0], bytes(places), letters.encode(), packed)


def test_a_piece_settles_the_map_its_handles_and_those_of_others(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened)
    waited, foreign, idle = futures[2], handle(runs.run_ids[3]), futures[4]
    store.running.update(runs.run_ids)
    opened.attach([waited, foreign])
    assert store.expected == [[foreign.run_id]], "the ends of the map come anyway"
    opened.settle_pieces([a_piece(runs, [2, 3, 4], "CFC")])
    assert [waited._end, foreign._end, idle._end] == [b"C2", b"F3", b"C4"]
    assert futures[3]._end == b"F3"
    assert not opened._open
    assert [opened.is_open(runs.run_ids[place]) for place in (2, 5)] == [False, True]


def test_a_piece_of_a_block_that_nobody_here_has_settles_single_handles(opened: OpenFutures, store: Store) -> None:
    runs = MapRuns(new_map_run_ids(10), cast(Any, None), MapFuture)
    future = handle(runs.run_ids[3])
    store.running.add(future.run_id)
    opened.attach([future])
    opened.settle_pieces([a_piece(runs, [2, 3], "CF")])
    assert future._end == b"F3"


def test_calls_that_were_moved_out_of_their_block_end_one_by_one(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened, 130)
    store.ends[runs.run_ids[1]] = Status.COMPLETED
    opened.settle_ends([(runs.run_ids[0], Status.CANCELLED, OUTCOME), (runs.run_ids[1], Status.COMPLETED, b"")])
    opened.settle_ends([(runs.run_ids[129], Status.CRASHED, OUTCOME)])  # it is in no block
    assert [futures[at]._status for at in (0, 1, 2, 129)] == [b"K", b"C", None, b"Z"]
    assert runs.ends.left == 127


def test_a_handle_that_is_attached_as_its_run_ends_is_settled(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened)
    future, foreign = futures[2], handle(runs.run_ids[2])
    store.running.update(runs.run_ids)
    opened.settle_pieces([a_piece(runs, [2], "C")])
    opened._add(future)  # as a thread does that looked before the end came
    assert not opened._open
    store.running.remove(foreign.run_id)
    store.ends[foreign.run_id] = Status.COMPLETED
    opened.attach([foreign])
    assert foreign._status == Status.COMPLETED
    assert not opened._open
    assert not opened._also_open


def test_a_new_handle_on_a_run_that_ended_long_ago_asks_the_store(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened)
    opened.settle_pieces([a_piece(runs, [2], "C")])
    foreign = handle(runs.run_ids[2])
    opened.attach([foreign])  # the store has forgotten it
    assert (foreign._status, futures[2]._status) == (Status.UNKNOWN, Status.COMPLETED)


def test_after_a_gap_all_that_is_open_of_a_map_is_asked_for(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened)
    single = handle()
    opened.watch(single)
    opened.open_inbox()
    opened.settle_pieces([a_piece(runs, [0, 1], "CC")])
    store.ends |= dict.fromkeys([*runs.run_ids, single.run_id], Status.FAILED)
    store.on_gap()
    assert store.expected == [[single.run_id, *runs.run_ids[2:]]]
    assert [future._status for future in futures] == [b"C", b"C", *[b"F"] * 8]
    assert single.settled


def test_a_map_that_is_being_sent_is_not_lost(opened: OpenFutures, store: Store) -> None:
    runs, futures = a_map(opened)
    opened.open_inbox()
    batch = opened.begin_to_send(runs.run_ids)
    store.on_gap()
    assert runs.ends.left == 10
    opened.has_sent(batch)
    assert store.gaps == 1
    store.on_gap()
    assert {future._status for future in futures} == {Status.UNKNOWN}


def test_a_map_is_asked_for_once_more_where_it_is_not_registered(opened: OpenFutures, store: Store) -> None:
    runs, _ = a_map(opened)
    store.running.update(runs.run_ids[5:])
    store.ends |= dict.fromkeys(runs.run_ids[:5], Status.COMPLETED)
    opened.attach([cast(Any, runs)])
    assert store.expected == []
    runs.move_to(runs.source)  # as after a fork
    opened.attach([cast(Any, runs)])
    opened.attach([cast(Any, runs)])
    (asked,) = store.expected
    assert sorted(asked) == list(runs.run_ids)
    assert runs.ends.left == 5


def test_a_map_that_could_not_be_sent_is_forgotten(opened: OpenFutures) -> None:
    runs, futures = a_map(opened)
    assert set(opened.some_open(4)) < set(runs.run_ids)
    opened.forget(futures)
    opened.settle_pieces([a_piece(runs, [0], "C")])
    assert (runs.ends.left, opened.is_open(runs.run_ids[0]), opened.some_open(4)) == (10, False, [])


def test_a_map_that_nobody_holds_is_not_kept_but_a_handle_with_a_callback_is(opened: OpenFutures) -> None:
    called: list[Any] = []
    kept, futures = a_map(opened)
    futures[3].add_done_callback(called.append)
    piece, gone = a_piece(kept, [3], "C"), weakref.ref(kept)
    del kept, futures
    gc.collect()
    assert gone() is not None
    opened.settle_pieces([piece])
    wait_until(lambda: len(called) == 1)
    assert called.pop()._end == b"C3"
    wait_until(lambda: gc.collect() >= 0 and gone() is None)
    assert not opened._maps


def _refuse(*args: Any, **options: Any) -> Any:
    raise BrokerUnavailable("away")
