"""A thread that waits for runs, or for its place, is reached by a cancel or a timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from orchestrator.client import wakers
from orchestrator.client.completion import _get
from orchestrator.client.slot_lending import Place, current_place, slot_lent
from orchestrator.client.waiting import Latch
from orchestrator.errors import TaskTimeout
from orchestrator.execution.interrupt import Interruptible
from orchestrator.slots.thread_budget import Permits
from orchestrator.task_runners.thread_pool import LendingExecutor
from tests.support.waiting import wait_until


def _latch() -> None:
    Latch(1).wait(None)


def _queue() -> None:
    _get(SimpleQueue[Any](), None)


def _permit() -> None:
    permits = Permits(1)
    permits.take()
    permits.take_back()


def _place_of_a_runner() -> None:
    executor = LendingExecutor(1)
    executor.take_at_once()
    executor.take_back()


@pytest.mark.parametrize("wait", [_latch, _queue, _permit, _place_of_a_runner], ids=lambda wait: wait.__name__)
def test_a_thread_that_waits_gets_the_exception_that_is_raised_in_it(wait: Callable[[], None]) -> None:
    ends = list[BaseException | None]()
    blocks = list[Interruptible]()

    def work() -> None:
        try:
            with Interruptible() as block:
                blocks.append(block)
                wait()
            ends.append(None)
        except TaskTimeout as error:
            ends.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until(lambda: thread.ident in wakers._wakers, 20, "it waits")
    assert blocks[0].raise_in(TaskTimeout("too long"))
    thread.join(20)
    assert [type(end) for end in ends] == [TaskTimeout]
    assert thread.ident not in wakers._wakers


class _FullLane:
    """A lane on which no place is ever free again."""

    def __init__(self) -> None:
        self.taken_at_once = 0

    def lend(self) -> None:
        """Somebody else has it at once."""

    def take_back(self) -> None:
        raise AssertionError("it would wait for ever")

    def take_at_once(self) -> None:
        self.taken_at_once += 1

    async def take_back_async(self) -> None:
        self.take_back()


def test_a_call_whose_wait_was_ended_does_not_wait_for_its_place() -> None:
    lane = _FullLane()
    token = current_place.set(Place(lane))
    try:
        with pytest.raises(TaskTimeout), slot_lent():
            raise TaskTimeout("too long")
    finally:
        current_place.reset(token)
    assert lane.taken_at_once == 1
