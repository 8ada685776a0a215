"""The life of one delivery: what is run, what is handed back, and how it is acked, in threads and on a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from brokers.messages import AckKind, Delivery
from orchestrator.errors import BrokerUnavailable, UnknownTask
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.verdicts import Verdict
from orchestrator.observability.events import listen
from orchestrator.slots.acks import Refusal
from orchestrator.slots.alone import Alone
from orchestrator.slots.lane import LONGEST_PAUSE_SECONDS, Retrying
from orchestrator.slots.loop_lane import LoopLane
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.prefetched import Prefetched
from orchestrator.slots.running import RunningCall
from orchestrator.slots.thread_lane import ThreadLane, ThreadRunner
from orchestrator.states import Completed
from tests.support.played_store import PlayedCodec, PlayedSlots, PlayedSource, delivery
from tests.support.waiting import wait_until

EXITS = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit]
Run = Callable[[Sequence[Delivery]], None]


class OneThread:
    """A lane of the thread that calls it."""

    def __init__(self) -> None:
        self.ready = Prefetched()
        self.taken_back = 0

    def lend(self) -> None:
        return None

    def take_back(self) -> None:
        self.taken_back += 1

    def take_at_once(self) -> None:
        self.take_back()

    async def take_back_async(self) -> None:
        self.take_back()


class Rig:
    """Slots over a played store, and both kinds of lanes on them."""

    def __init__(self, work: Callable[[str], Any] = lambda run_id: None) -> None:
        self.slots = PlayedSlots()
        self.calls, self.store = self.slots.calls, self.slots.store
        self.codec = PlayedCodec(work)
        self.places = LoopPlaces(10)
        self.alone = Alone(self.calls, self.places, max_deliveries=3)
        self.runner = ThreadRunner(self.calls, self.alone, self.codec)
        self.thread = OneThread()
        self.loop_lane = LoopLane(self.calls, self.alone, self.codec, self.places)
        self.loop_lane.start()

    def run(self, kind: str, *deliveries: Delivery) -> dict[str, str]:
        """Have them run; how they were acked."""
        self.calls.fetched(deliveries)
        if kind == "loop":
            self.loop_lane.run_all(deliveries)
        else:
            for one in deliveries:
                self.runner.run(one, self.thread, 0)
        assert self.calls.running == {}
        self.calls.flush_acks()
        return self.store.ends()


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(work: Callable[[str], Any] = lambda run_id: None) -> Rig:
        made.append(Rig(work))
        return made[-1]

    yield make
    for rig in made:
        rig.loop_lane.end()


both = pytest.mark.parametrize("kind", ["thread", "loop"])


@both
def test_a_delivery_is_decoded_announced_executed_concluded_and_acked(make_rig: Callable[..., Rig], kind: str) -> None:
    seen: list[str] = []
    rig = make_rig(lambda run_id: seen.append(f"{run_id} runs"))
    stops = [
        listen(event, lambda attempt, verdict, seconds, event=event: seen.append(f"{attempt.run_id} {event}"))
        for event in ("run.started", "run.ended")
    ]
    try:
        assert rig.run(kind, delivery("a")) == {"a": AckKind.COMPLETED}
    finally:
        for stop in stops:
            stop()
    assert seen == ["a run.started", "a runs", "a run.ended"]


@both
def test_a_delivery_that_cannot_be_run_is_a_dead_letter_and_is_not_announced(
    make_rig: Callable[..., Rig], kind: str
) -> None:
    rig, seen = make_rig(), list[str]()
    rig.codec.refusals["a"] = Refusal(UnknownTask("t"))
    stop = listen("run.started", lambda attempt, **facts: seen.append(attempt.run_id))
    try:
        assert rig.run(kind, delivery("a"), delivery("b")) == {"a": AckKind.DEAD, "b": AckKind.COMPLETED}
    finally:
        stop()
    assert seen == ["b"]


@both
def test_while_upstream_results_cannot_be_read_the_call_is_handed_back(make_rig: Callable[..., Rig], kind: str) -> None:
    rig = make_rig()
    rig.codec.errors["a"] = BrokerUnavailable("away")
    assert rig.run(kind, delivery("a", upstreams=b"x")) == {"a": AckKind.HAND_BACK}


@both
@pytest.mark.parametrize("error", EXITS)
def test_whatever_is_raised_while_a_call_is_decoded_costs_that_call_alone(
    make_rig: Callable[..., Rig], kind: str, error: type[BaseException]
) -> None:
    rig = make_rig()
    rig.codec.errors["a"] = error("while it is read")
    assert rig.run(kind, delivery("a"), delivery("b")) == {"a": AckKind.DEAD, "b": AckKind.COMPLETED}


@both
def test_an_error_of_the_function_is_its_verdict(make_rig: Callable[..., Rig], kind: str) -> None:
    def fail(run_id: str) -> None:
        raise ValueError(run_id)

    assert make_rig(fail).run(kind, delivery("a")) == {"a": AckKind.FAILED}


@both
def test_a_call_that_was_taken_over_meanwhile_is_not_run(make_rig: Callable[..., Rig], kind: str) -> None:
    ran: list[str] = []
    rig = make_rig(ran.append)
    rig.store.stop = ["a"]
    assert rig.run(kind, delivery("a", deliveries=2), delivery("b", deliveries=2)) == {
        "a": AckKind.HAND_BACK,
        "b": AckKind.COMPLETED,
    }
    assert ran == ["b"]


@both
def test_who_sees_that_nothing_runs_finds_the_outcomes(make_rig: Callable[..., Rig], kind: str) -> None:
    rig, seen = make_rig(), list[int]()
    add = rig.calls.acks.add

    def watched(ack: Any) -> bool:
        seen.append(len(rig.calls.running))
        return add(ack)

    rig.calls.acks.add = watched  # type: ignore[method-assign]
    rig.run(kind, delivery("a"))
    assert seen == [1]


def test_a_call_that_is_cancelled_before_its_function_runs_does_not_run(make_rig: Callable[..., Rig]) -> None:
    ran: list[str] = []
    rig = make_rig(ran.append)
    decode = rig.codec.attempt

    def cancelled_meanwhile(one: Delivery) -> Any:
        rig.calls.running[one.ticket].stop()
        return decode(one)

    rig.codec.attempt = cancelled_meanwhile  # type: ignore[method-assign]
    assert rig.run("thread", delivery("a")) == {"a": AckKind.CANCELLED}
    assert ran == []


def test_a_call_whose_next_crash_would_be_its_last_has_outcomes_sent_before_it_begins(
    make_rig: Callable[..., Rig],
) -> None:
    sent_before: list[list[str]] = []
    rig = make_rig(lambda run_id: sent_before.append([ack.run_id for ack in rig.store.completed]))
    rig.run("thread", delivery("a"), delivery("suspect", deliveries=3, crashes=2))
    assert sent_before == [[], ["a"]]
    assert rig.alone.ticket is None


class ElsewhereDoor:
    """Where calls run outside of this process, the suspect until it may end."""

    begins_runs = False
    not_started_by: tuple[type[BaseException], ...] = ()

    def __init__(self, rig: Rig) -> None:
        self._codec, self.may_end = rig.codec, threading.Event()

    async def decode(self, delivery: Delivery) -> Any:
        return self._codec.attempt(delivery)

    async def execute(self, call: RunningCall, attempt: Attempt) -> Verdict:
        if call.delivery.crashes:
            assert self.may_end.wait(30)
        return Completed()


def test_what_runs_outside_of_this_process_keeps_nobody_out(make_rig: Callable[..., Rig]) -> None:
    """A container whose process was killed twice does not run alone: it cannot take others along."""
    rig = make_rig()
    door = ElsewhereDoor(rig)
    runner = ThreadRunner(rig.calls, rig.alone, rig.codec, door=door)
    suspect, beside = delivery("suspect", deliveries=3, crashes=2), delivery("beside")
    rig.calls.fetched([suspect, beside])
    with ThreadPoolExecutor() as threads:
        try:
            threads.submit(runner.run, suspect, rig.thread, 0)
            wait_until(lambda: suspect.ticket in rig.calls.running)
            threads.submit(runner.run, beside, OneThread(), 1).result(20)
        finally:
            door.may_end.set()
    rig.calls.flush_acks()
    assert rig.store.ends() == {"suspect": AckKind.COMPLETED, "beside": AckKind.COMPLETED}


# -- fetching ------------------------------------------------------------------------------------------------------


def test_a_fetch_waits_only_when_nothing_is_there_and_not_while_the_slots_drain(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    source = PlayedSource(delivery("a"))
    source.later = [delivery("b"), delivery("c")]
    fetch = rig.runner.lane.fetch
    assert [some.run_id for some in fetch(source, 1)] == ["a"]
    assert [some.run_id for some in fetch(source, 1)] == ["b"]
    rig.calls.start_draining()
    assert fetch(source, 1) == []
    assert rig.calls.known_tickets() == {"q:ds a", "q:ds b"}


def test_pauses_between_tries_grow_and_begin_anew_once_the_server_has_answered(make_rig: Callable[..., Rig]) -> None:
    rig, pauses = make_rig(), list[float]()
    rig.calls.pause = pauses.append  # type: ignore[method-assign]
    retrying = Retrying(rig.calls)
    for _ in range(7):
        retrying.pause_after(BrokerUnavailable("away"))
    retrying.reached()
    retrying.pause_after(BrokerUnavailable("away"))
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, 0.05]


# -- threads -------------------------------------------------------------------------------------------------------


class BusySource(PlayedSource):
    """What it waits for comes when somebody adds it."""

    def __init__(self, *now: Delivery) -> None:
        super().__init__(*now)
        self.closed = threading.Event()

    def wait(self, want: int) -> list[Delivery]:
        self.closed.wait(0.01)
        return []

    def close(self) -> None:
        self.closed.set()


def test_threads_run_what_is_fetched_and_end_when_the_slots_drain(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    source = BusySource(*(delivery(str(number)) for number in range(20)))
    lane = ThreadLane(rig.calls, rig.runner, source, 2)
    lane.start(own_thread=False)
    wait_until(lambda: len(source.acks) + len(rig.calls.acks) + len(rig.store.completed) == 20, 20, "all have run")
    rig.calls.start_draining()
    lane.close()
    for thread in lane._threads:
        thread.join(20)
        assert not thread.is_alive()
    rig.calls.flush_acks()
    acked = {ack.run_id: ack.how for ack in [*source.acks, *rig.store.completed]}
    assert acked == {str(number): AckKind.COMPLETED for number in range(20)}


def test_a_thread_takes_the_place_of_one_that_waits_and_ends_when_that_one_is_back(
    make_rig: Callable[..., Rig],
) -> None:
    inner_ran = threading.Event()

    def work(run_id: str) -> None:
        if run_id == "outer":
            lane.lend()
            assert inner_ran.wait(20)
            lane.take_back()
        else:
            inner_ran.set()

    rig = make_rig(work)
    source = BusySource(delivery("outer"), delivery("inner"))
    lane = ThreadLane(rig.calls, rig.runner, source, 1)
    lane.start(own_thread=False)
    assert inner_ran.wait(20)
    wait_until(lambda: sum(thread.is_alive() for thread in lane._threads) == 1, 20, "one thread is left")
    assert len(lane._threads) == 2
    rig.calls.start_draining()
    lane.close()
    for thread in lane._threads:
        thread.join(20)
        assert not thread.is_alive()


def test_what_is_not_started_when_the_slots_drain_stays_to_be_handed_back(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    source = BusySource(delivery("a"), delivery("b"))
    lane = ThreadLane(rig.calls, rig.runner, source, 1)
    lane._permits.take()
    assert lane.next(for_ever=True) == delivery("a")
    rig.calls.start_draining()
    assert lane.next(for_ever=True) is None
    assert [some.run_id for some in lane.ready.drain()] == ["b"]


def test_our_own_failure_ends_the_thread_that_is_to_end_the_process_and_no_other(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()

    def fail(one: Delivery, lane: Any, place: int) -> None:
        raise ValueError("ours")

    rig.runner.run = fail  # type: ignore[method-assign]
    lane = ThreadLane(rig.calls, rig.runner, BusySource(), 1)
    lane._permits.take()
    lane.run(delivery("a"), 0, for_ever=False)
    assert lane._permits._free == 0
    with pytest.raises(ValueError, match="ours"):
        lane.run(delivery("a"), 0, for_ever=True)
    assert lane._permits._free == 1


# -- the loop ------------------------------------------------------------------------------------------------------


def test_more_calls_than_places_run_as_places_get_free(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    names = [str(number) for number in range(35)]
    assert rig.run("loop", *map(delivery, names)) == dict.fromkeys(names, AckKind.COMPLETED)
    assert rig.places.taken == 0


def test_a_place_goes_to_who_comes_back_from_a_wait_before_a_new_call() -> None:
    places, order = LoopPlaces(1), list[str]()
    places.occupy(1)

    def back() -> None:
        places.take_back()
        order.append("back")
        places.free_one()

    def new() -> None:
        places.wait_for_room(lambda: False)
        order.append("new")

    threads = [threading.Thread(target=target) for target in (new, back)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(places._returning) == 1, 20, "it wants a place back")
    places.free_one()
    for thread in threads:
        thread.join(20)
    assert order == ["back", "new"]
    assert places.free == 1


def test_nobody_waits_for_room_when_the_slots_stop() -> None:
    places, stopped = LoopPlaces(1), threading.Event()
    places.occupy(1)
    waiting = threading.Thread(target=places.wait_for_room, args=(stopped.is_set,))
    waiting.start()
    stopped.set()
    places.wake()
    waiting.join(20)
    assert not waiting.is_alive()
    assert not places.wait_until_empty(stopped.is_set)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_call_that_a_busy_loop_has_not_begun_is_known_to_be_here(make_rig: Callable[..., Rig], is_lost: bool) -> None:
    """A task that blocks the loop for longer than a lease must not have its neighbours run twice."""
    ran: list[str] = []
    rig, free = make_rig(ran.append), threading.Event()
    rig.loop_lane._loop.loop.call_soon_threadsafe(free.wait)
    waits = delivery("waits")
    rig.calls.fetched([waits])
    rig.loop_lane.feed([waits])
    assert rig.calls.known_tickets() == {waits.ticket}
    if is_lost:
        rig.calls.give_up({waits.ticket: "waits"})
        rig.store.completed.clear()
    free.set()
    wait_until(lambda: rig.places.taken == 0 and not rig.calls.running)
    rig.calls.flush_acks()
    assert ran == ([] if is_lost else ["waits"])
    assert rig.store.ends() == ({} if is_lost else {"waits": AckKind.COMPLETED})
    assert rig.calls.known_tickets() == set()


def test_an_error_of_ours_when_the_loop_begins_a_call_costs_nobody_a_place(make_rig: Callable[..., Rig]) -> None:
    """The call is not here any more, so that it is handed back as one that was lost; those beside it run."""
    ran: list[str] = []
    rig = make_rig(ran.append)
    begin = rig.calls.begin

    def fails_once(call: RunningCall) -> bool:
        if call.delivery.run_id == "a":
            raise RuntimeError("ours")
        return begin(call)

    rig.calls.begin = fails_once  # type: ignore[method-assign]
    calls = [delivery("a"), delivery("b")]
    rig.calls.fetched(calls)
    rig.loop_lane.feed(calls)
    wait_until(lambda: rig.places.taken == 0 and not rig.calls.running)
    assert ran == ["b"]
    assert calls[0].ticket not in rig.calls.known_tickets()


@both
def test_a_call_that_a_slot_failed_to_begin_is_not_known_here_any_more(
    make_rig: Callable[..., Rig], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would hand it back, and it would stay queued as long as this process lives."""
    rig = make_rig()

    def fail(place: int, run_id: str) -> None:
        raise ValueError(f"{run_id} has no place in the table")

    monkeypatch.setattr(rig.calls.table, "note", fail)
    with suppress(ValueError):
        rig.run(kind, delivery("a"))
    wait_until(lambda: not rig.calls.known_tickets(), message="it is forgotten")
    assert rig.calls.running == {}
    assert rig.store.ends() == {}
