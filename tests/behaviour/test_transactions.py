"""Transactions with calls that workers run: this process calls their hooks, and theirs do not."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from orchestrator import flow
from orchestrator.transactions import IsolationLevel, atransaction, transaction
from tests.support.apps import transacted as app
from tests.support.waiting import wait_until

APP = "tests.support.apps.transacted"
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def nothing_called_yet() -> None:
    app.called.clear()


@pytest.mark.smoke
def test_submitted_calls_are_committed_here_at_the_end_of_the_block() -> None:
    @flow
    def booking() -> list[tuple[int, int]]:
        with transaction():
            ends = app.written.map([1, 2])
            one = app.written.submit(3)
        return [*ends.result(), one.result()]

    assert booking() == [(1, 0), (2, 0), (3, 0)], "their workers have called no hooks"
    assert app.called == [("committed", os.getpid())] * 3


def test_submitted_calls_are_undone_here_if_one_fails_which_is_raised() -> None:
    @flow
    def booking() -> None:
        with transaction():
            app.written.map([1, 2])
            app.checked.submit(False)

    with pytest.raises(ValueError, match="not good"):
        booking()
    assert app.called == [("undone", os.getpid())] * 2


def test_calls_that_are_open_when_the_block_raises_are_stopped_or_undone() -> None:
    with pytest.raises(RuntimeError, match="enough"), transaction():  # noqa: PT012
        futures = [app.written.submit(number) for number in range(8)]
        raise RuntimeError("enough")
    completed = [future for future in futures if future.state.is_completed()]
    assert all(future.settled for future in futures)
    assert app.called == [("undone", os.getpid())] * len(completed)


def test_on_an_event_loop() -> None:
    async def main() -> None:
        async with atransaction():
            await app.written.asubmit(1)

    asyncio.run(main())
    assert app.called == [("committed", os.getpid())]


def test_outside_of_a_block_their_workers_commit() -> None:
    def committed_by_workers() -> bool:
        return app.written.submit(1).result(timeout=60)[1] > 0

    wait_until(committed_by_workers)  # there are two processes or threads: it comes to one that has done one before
    assert app.called == []


def test_a_serializable_one_waits_for_another_of_its_key() -> None:
    begun, seen = threading.Event(), []

    def second() -> None:
        begun.wait(30)
        with transaction(key="one at a time", isolation_level=IsolationLevel.SERIALIZABLE) as again:
            seen.append(again.read())

    beside = threading.Thread(target=second)
    beside.start()
    with transaction(key="one at a time", isolation_level=IsolationLevel.SERIALIZABLE) as first:
        begun.set()
        beside.join(0.3)
        assert beside.is_alive()
        first.stage("done")
    beside.join(30)
    assert seen == ["done"]
