"""A thread that waits and reads settles what it waits for, if that concerns nobody else, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from brokers.base import Broker
from brokers.messages import Status
from brokers.sender import Sender
from orchestrator.client import open_futures
from orchestrator.client.open_futures import OpenFutures
from orchestrator.client.waiting import Latch, WaitForOne
from orchestrator.futures import PrefectFuture
from orchestrator.runs.run_ids import new_run_id

OUTCOME = b"\0"


class Inbox(SimpleNamespace):
    """Notes who listens; has the rule that it was given."""

    listened = 0

    def listen(self) -> None:
        self.listened += 1


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(start=lambda: None)


@pytest.fixture
def opened(inbox: Inbox) -> OpenFutures:
    def make(process: str, *, is_quiet: Any, **handlers: Any) -> Inbox:
        inbox.is_quiet = is_quiet
        return inbox

    broker = SimpleNamespace(inboxes=SimpleNamespace(expect=lambda run_ids, process: [], inbox=make))
    sender = SimpleNamespace(flush=lambda until=None: None)
    opened = OpenFutures(cast(Broker, broker), cast(Sender, sender), "me", 2.0)
    opened.open_inbox()
    return opened


class Waiting:
    """A thread that waits for a call."""

    def __init__(self, opened: OpenFutures) -> None:
        self.future: PrefectFuture[Any] = PrefectFuture(new_run_id())
        opened.watch(self.future)
        self.latch = Latch(1)
        self.future._on_end(self.latch.count_down)
        self.wait = WaitForOne(self.latch, self.future, opened.settle_only)

    def take(self, run_id: str | None = None, outcome: bytes = OUTCOME) -> bool:
        return self.wait.take((run_id or self.future.run_id, Status.COMPLETED, outcome))


@pytest.fixture
def waiting(opened: OpenFutures) -> Waiting:
    return Waiting(opened)


def test_the_end_that_is_waited_for_ends_the_wait(opened: OpenFutures, waiting: Waiting) -> None:
    assert not waiting.wait.is_over
    assert waiting.take()
    assert waiting.wait.is_over
    assert waiting.latch.wait(0)
    assert waiting.future._status == Status.COMPLETED
    assert not opened.is_open(waiting.future.run_id)


def test_the_end_of_another_run_is_left_to_others(opened: OpenFutures, waiting: Waiting) -> None:
    other = Waiting(opened)
    assert not waiting.take(other.future.run_id)
    assert not (waiting.future.settled)
    assert not (other.future.settled)
    assert opened.is_open(other.future.run_id)


@pytest.mark.parametrize("who", ["a callback", "another waiter", "another handle"])
def test_an_end_that_somebody_else_is_to_be_told_is_left_to_others(
    opened: OpenFutures, waiting: Waiting, who: str
) -> None:
    if who == "another handle":
        opened.attach([PrefectFuture(waiting.future.run_id)])
    elif who == "another waiter":
        waiting.future._on_end(Latch(1).count_down)
    else:
        waiting.future.add_done_callback(print)
    assert not waiting.take()
    assert not waiting.future.settled
    assert not waiting.wait.is_over


def test_an_outcome_that_is_in_the_store_only_is_left_to_others(waiting: Waiting) -> None:
    assert not waiting.take(outcome=b"")
    assert not waiting.future.settled


def test_a_run_that_has_ended_already_is_left_to_others(waiting: Waiting) -> None:
    waiting.future.settle(Status.FAILED, OUTCOME)
    assert not waiting.take()
    assert waiting.future._status == Status.FAILED


def test_whoever_opens_the_latch_from_elsewhere_interrupts_the_reader(waiting: Waiting) -> None:
    calls: list[int] = []
    waiting.wait.interrupt = lambda: calls.append(1)
    waiting.future.settle(Status.FAILED, OUTCOME)
    assert waiting.wait.is_over
    assert calls == [1]


def test_it_is_quiet_while_nobody_is_to_be_called(opened: OpenFutures, inbox: Inbox) -> None:
    assert inbox.is_quiet()
    opened.watch(PrefectFuture(new_run_id()))
    assert inbox.is_quiet(), "nobody waits for it"
    opened.place_calls.expect("lease", lambda: None)
    assert not inbox.is_quiet()
    opened.place_calls.forget("lease")
    waiting = Waiting(opened)
    assert not inbox.is_quiet()
    waiting.take()
    assert inbox.is_quiet()


def test_among_many_open_runs_it_is_not_asked_whether_it_is_quiet(opened: OpenFutures, inbox: Inbox) -> None:
    for _ in range(open_futures.FEW + 1):
        opened.watch(PrefectFuture(new_run_id()))
    assert not inbox.is_quiet()


def test_whoever_is_to_be_called_has_the_inboxs_thread_listen(opened: OpenFutures, inbox: Inbox) -> None:
    plain: PrefectFuture[Any] = PrefectFuture(new_run_id())
    opened.attach([plain])
    assert inbox.listened == 0
    Waiting(opened)
    called: PrefectFuture[Any] = PrefectFuture(new_run_id())
    called._on_end(print)
    opened.attach([called])
    assert inbox.listened == 1
    opened.place_calls.expect("lease", lambda: None)
    assert inbox.listened == 2
