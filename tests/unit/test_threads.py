"""Threads that must not die: they go on after whatever is raised in them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from brokers import threads
from brokers.threads import AutoResetEvent, unending
from orchestrator import task
from orchestrator.slots import Slots, SlotsOptions
from orchestrator.testing.throwaway import throwaway_fleet

ERRORS = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit]


@task
def double(x: int) -> int:
    return 2 * x


@task
async def double_async(x: int) -> int:
    return 2 * x


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PAUSE_SECONDS", 0.001)


def failing_first(real: Callable[..., Any], errors: list[type[BaseException]]) -> Callable[..., Any]:
    """The same, once it has raised each of these."""
    left = list(errors)

    def call(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop(0)("not yet")
        return real(*args, **kwargs)

    return call


def test_a_thread_begins_again_until_it_returns() -> None:
    done = threading.Event()
    thread = threading.Thread(target=unending(failing_first(done.set, ERRORS)))
    thread.start()
    assert done.wait(20)
    thread.join(20)
    assert not thread.is_alive()


def test_slots_work_on_whatever_is_raised_in_their_threads() -> None:
    with throwaway_fleet(lease_seconds=2, beat_seconds=0.5) as fleet:
        slots = Slots(fleet, SlotsOptions(threads=2))
        monitor = slots._core.monitor
        monitor.look_once = failing_first(monitor.look_once, ERRORS)  # type: ignore[method-assign]
        for reader in slots._readers._readers:
            reader.take = failing_first(reader.take, ERRORS * 2)  # type: ignore[method-assign]
        slots.start()
        try:
            slots.serve_async()
            futures = [each.submit(n) for n in range(20) for each in (double, double_async)]
            assert [future.result(timeout=40) for future in futures] == [2 * n for n in range(20) for _ in range(2)]
            names = {thread.name for thread in threading.enumerate()}
            assert {"slot-monitor", "async-feeder", "async-slots", "slot-0", "slot-1"} <= names
        finally:
            slots.stop(5)


def test_a_call_that_exits_while_its_arguments_are_read_costs_no_slot() -> None:
    with throwaway_fleet(lease_seconds=2, beat_seconds=0.5) as fleet:
        slots = Slots(fleet, SlotsOptions(threads=1))
        codec = slots._core.codec
        codec.plain_attempt = failing_first(codec.plain_attempt, ERRORS)  # type: ignore[method-assign]
        slots.start()
        try:
            states = [double.submit(n, return_state=True) for n in range(6)]
        finally:
            slots.stop(5)
    assert [state.is_crashed() for state in states] == [True] * 4 + [False] * 2
    assert [state.result() for state in states[4:]] == [8, 10]


def test_an_event_that_many_threads_set_is_met_after_the_last_of_them() -> None:
    event, letters, seen = AutoResetEvent(), deque[int](), 0

    def bring() -> None:
        for number in range(2_000):
            letters.append(number)
            event.set()

    threads_ = [threading.Thread(target=bring) for _ in range(8)]
    for thread in threads_:
        thread.start()
    while seen < 16_000:
        assert event.wait(20), f"{len(letters)} lie there"
        while letters:
            letters.popleft()
            seen += 1
    for thread in threads_:
        thread.join()


def test_an_event_that_is_set_twice_is_met_once() -> None:
    event = AutoResetEvent()
    assert not event.wait(0)
    event.set()
    event.set()
    assert event.is_set
    assert event.wait(0)
    assert not event.wait(0)
