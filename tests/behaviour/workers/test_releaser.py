"""Which children's waiting calls are given to others: the supervisor's view, with a child that this test plays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator import settings as all_settings
from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from task_workers.options import WorkerOptions
from task_workers.supervisor.child_process import ChildHandle
from task_workers.supervisor.releaser import Releaser
from task_workers.supervisor.slot_table import SlotTable, TableReader, open_table
from tests.support.carriage import Calls
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.behaviour
LEASE = 0.5
ROUTES = ["q:ds"]


class PlayedChild:
    """Two calls were delivered to it; one runs, and the other is not seen to run."""

    def __init__(self, fleet: Fleet) -> None:
        self.calls = Calls(fleet.broker)
        self.running, self.other = self.calls.submit_many(2)
        fd = open_table(2)
        self.table = SlotTable(fd)
        self.handle = ChildHandle(WorkerOptions(("app",)), "worker", 0, _no_news())
        self.handle.table = TableReader(fd)
        os.close(fd)
        assert len(self.calls.take(consumer=self.handle.consumer)) == 2
        self.table.note(self.table.take_place(), self.running)
        self.releaser = Releaser(fleet, ["q"], lambda: [self.handle])
        self.began = time.monotonic()

    def held(self) -> set[str]:
        """What the server holds for it after the supervisor has looked once more."""
        self.releaser.run_once()
        return set(self.calls.broker.deliveries.pending(self.handle.consumer, ROUTES).values())

    def seconds(self) -> float:
        return time.monotonic() - self.began


def _no_news() -> Any:
    import queue

    return queue.SimpleQueue()


@pytest.fixture
def child(server: ServerProcess, namespace: str) -> Iterator[PlayedChild]:
    settings = Settings(redis_url=server.url, namespace=namespace, lease_seconds=LEASE, beat_seconds=0.1)
    with all_settings.use(settings):
        fleet = Fleet(settings)
        played = PlayedChild(fleet)
        yield played
        played.handle.close()
        fleet.close()


def looked_until(child: PlayedChild, seconds: float, pulse: Callable[[], None]) -> Callable[[], bool]:
    """Whether so much time has gone by; at each look nothing has been taken from the child."""

    def look() -> bool:
        pulse()
        assert child.held() == {child.running, child.other}
        return child.seconds() > seconds

    return look


def test_what_waits_in_a_child_without_a_pulse_is_given_to_others_and_what_runs_is_not(child: PlayedChild) -> None:
    child.table.pulse(answered=time.monotonic() + 3600)  # it is not the server that it misses
    wait_until(lambda: child.held() == {child.running}, 20)
    again = child.calls.take_one("another")
    assert (again.run_id, again.crashes) == (child.other, 0)


def test_a_child_that_hears_the_server_is_left_alone(child: PlayedChild) -> None:
    wait_until(looked_until(child, 6 * LEASE, lambda: child.table.pulse(time.monotonic())), 30)


def test_a_child_that_is_cut_off_keeps_for_a_lease_the_calls_whose_outcomes_it_may_hold(child: PlayedChild) -> None:
    cut_off = time.monotonic()
    wait_until(looked_until(child, LEASE, lambda: child.table.pulse(cut_off)), 30)

    def given_to_others() -> bool:
        child.table.pulse(cut_off)
        return child.held() == {child.running}

    wait_until(given_to_others, 20)
