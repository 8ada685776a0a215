"""Awaitables that code without ``await`` runs to their end, also beside a loop; and interruptions of that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from orchestrator.client import own_loop
from orchestrator.client.own_loop import beside_this_thread, run_to_its_end
from tests.support.waiting import wait_until


class Interruption(BaseException):
    """What a signal handler raises."""


class Interrupted:
    """A future in whose place a wait is interrupted, once ``when()`` is true."""

    def __init__(self, when: Callable[[], object]) -> None:
        self._when = when

    def result(self) -> None:
        wait_until(self._when)
        raise Interruption


def test_what_it_comes_to_is_the_same_beside_a_loop() -> None:
    async def inner() -> int:
        return 7

    async def outer() -> int:
        return int(run_to_its_end(inner()))

    assert run_to_its_end(inner()) == 7
    assert asyncio.run(outer()) == 7


def test_whoever_is_interrupted_cancels_it_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = threading.Event(), threading.Event()
    interrupt_when(monkeypatch, began.is_set)

    async def never() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def outer() -> None:
        run_to_its_end(never())

    with pytest.raises(Interruption):
        asyncio.run(outer())
    assert ended.wait(20)


def test_whoever_is_interrupted_does_not_wait_for_a_call_that_cannot_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, go_on = threading.Event(), threading.Event()
    interrupt_when(monkeypatch, began.is_set)

    def endless() -> None:
        began.set()
        go_on.wait(60)

    with pytest.raises(Interruption):
        beside_this_thread(endless)
    go_on.set()


def test_what_it_raises_is_raised() -> None:
    def fails() -> None:
        raise LookupError("what")

    with pytest.raises(LookupError, match="what"):
        beside_this_thread(fails)


def interrupt_when(monkeypatch: pytest.MonkeyPatch, when: Callable[[], object]) -> None:
    """Have the wait for a call in another thread be interrupted."""
    submit = own_loop.ThreadPoolExecutor.submit

    def submit_and_be_interrupted(self: own_loop.ThreadPoolExecutor, *call: object) -> object:
        future = submit(self, *call)  # type: ignore[arg-type]
        monkeypatch.setattr(future, "result", Interrupted(when).result)
        return future

    monkeypatch.setattr(own_loop.ThreadPoolExecutor, "submit", submit_and_be_interrupted)
