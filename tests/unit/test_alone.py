"""A call whose next crash would be its last runs with nothing beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers.messages import routes_of
from orchestrator import task
from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture, wait
from orchestrator.maintenance import Mover
from orchestrator.slots import Slots, SlotsOptions, alone
from orchestrator.slots.alone import Alone
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.running import RunningCall
from orchestrator.testing.throwaway import throwaway_fleet
from tests.support.played_store import PlayedSlots, delivery
from tests.support.waiting import wait_until

running: list[str] = []
beside: dict[str, list[str]] = {}


@task
def watched(name: str, seconds: float = 0.02) -> str:
    running.append(name)
    beside[name] = list(running)
    time.sleep(seconds)
    beside[name] += running
    running.remove(name)
    return name


@task
async def watched_async(name: str) -> str:
    return watched.fn(name)


@task
def waits(name: str) -> str:
    return watched.submit(name).result(timeout=60)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    running.clear()
    beside.clear()
    with throwaway_fleet(lease_seconds=4, beat_seconds=0.5) as made:
        yield made


def charge(fleet: Fleet, future: PrefectFuture[str], times: int, lane: str = "s") -> None:
    """As many workers as that die while they run it."""
    reader = fleet.broker.deliveries.reader("dead", routes_of(["default"], lane), trust_seconds=1.0)
    for _ in range(times):
        taken, _ = reader.take(100, [])
        assert future.run_id in {delivery.run_id for delivery in taken}
        fleet.broker.deliveries.take_over("dead", running={future.run_id: "it died"}, max_deliveries=9)
    reader.close()


def ran_beside(name: str) -> set[str]:
    return set(beside[name]) - {name}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_call_that_was_there_at_two_deaths_runs_with_nothing_beside_it(fleet: Fleet, kind: str) -> None:
    chosen, lane = (watched, "s") if kind == "sync" else (watched_async, "a")
    suspect = chosen.submit("suspect")
    charge(fleet, suspect, 2, lane)
    others = [each.submit(f"{each.name}{n}") for n in range(20) for each in (watched, watched_async)]
    slots = Slots(fleet, SlotsOptions(threads=4))
    slots.start()
    try:
        wait([suspect, *others], timeout=30)
        assert suspect.result(timeout=0) == "suspect"
        assert all(future.state.is_completed() for future in others)
    finally:
        slots.stop(5)
    assert ran_beside("suspect") == set()
    assert not any("suspect" in ran_beside(name) for name in beside)


def test_one_that_waits_for_another_does_not_keep_that_one_out(fleet: Fleet) -> None:
    suspect = waits.submit("inner")
    charge(fleet, suspect, 2)
    slots = Slots(fleet, SlotsOptions(threads=1))
    slots.start()
    try:
        assert suspect.result(timeout=60) == "inner"
    finally:
        slots.stop(5)


def test_beside_a_call_that_runs_for_long_it_waits_and_keeps_no_other_out(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(alone, "LATER_MS", 50)
    slots = Slots(fleet, SlotsOptions(threads=3))
    mover = Mover(fleet)
    suspect = watched.submit("suspect")
    charge(fleet, suspect, 2)
    long = watched.submit("long", 0.8)
    mover.start()
    slots.start()
    try:
        wait_until(lambda: "long" in running or "suspect" in beside, 20, "one of the two runs")
        others = [watched.submit(f"other{n}") for n in range(5)]
        wait([suspect, long, *others], timeout=30)
        assert suspect.result(timeout=0) == "suspect"
    finally:
        slots.stop(5)
        mover.stop()
    assert ran_beside("suspect") == set()


@pytest.mark.parametrize(("limit", "crashes", "alone_then"), [(None, 1, False), (None, 2, True), (2, 1, True)])
def test_the_last_chance_is_the_one_that_counts(
    fleet: Fleet, limit: int | None, crashes: int, alone_then: bool
) -> None:
    future = watched.with_options(max_deliveries=limit).submit("x") if limit else watched.submit("x")
    charge(fleet, future, crashes)
    reader = fleet.broker.deliveries.reader("me", routes_of(["default"], "s"), trust_seconds=1.0)
    (delivery,), _ = reader.take(10, [])
    known = Slots(fleet, SlotsOptions())._core.alone
    known._most_crashes = lambda task_key: limit or 3  # type: ignore[method-assign]
    assert known.needed(delivery) is alone_then
    reader.close()


@pytest.mark.parametrize("is_lost", [False, True])
def test_who_waits_outside_is_known_to_be_here_and_does_not_begin_once_it_is_given_up(is_lost: bool) -> None:
    slots = PlayedSlots()
    turn = Alone(slots.calls, LoopPlaces(1), 5)
    turn.ticket = "q:ds alone"
    call = RunningCall(delivery("beside"), None, 0)  # type: ignore[arg-type]
    assert slots.calls.begin(call)
    with ThreadPoolExecutor() as threads:
        entered = threads.submit(turn.let_in, call)
        wait_until(lambda: not slots.calls.running)
        assert slots.calls.known_tickets() == {"q:ds beside"}
        if is_lost:
            slots.calls.give_up({"q:ds beside": "beside"})
        turn.ticket = None
        assert entered.result(20) is not is_lost
    assert slots.calls.running == ({} if is_lost else {"q:ds beside": call})
    assert slots.calls.known_tickets() == (set() if is_lost else {"q:ds beside"})
