"""What a supervisor decides about its children, with children and a clock that are played here."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import pytest

from brokers.messages import KillVerdict
from orchestrator.observability.metrics.cells import CellReader
from task_workers.options import WorkerOptions
from task_workers.supervisor.child_pool import (
    KILL_MARGIN_SECONDS,
    MAX_STARTUP_FAILURES,
    MEMORY_SECONDS,
    SIGNAL_DEBOUNCE_SECONDS,
    ChildPool,
)
from task_workers.supervisor.events import (
    ChildDied,
    ChildSaid,
    PauseRequested,
    ReloadRequested,
    StarterReady,
    StopRequested,
)
from task_workers.supervisor.managed_process import ChildPhase, ManagedChild
from task_workers.supervisor.messages import ChildMessage, Drained, Failed, Ready, Recycle
from task_workers.supervisor.timers import Timers


class PlayedTable:
    def __init__(self) -> None:
        self.running: list[str] = []

    def rows(self) -> list[str]:
        return self.running


class PlayedChild:
    """A child without a process."""

    def __init__(self, number: int, pid: int, paused: bool) -> None:
        self.number, self.pid, self.paused = number, pid, paused
        self.consumer = f"w.{pid}"
        self.verdicts: dict[str, KillVerdict] = {}
        self.phase = ChildPhase.STARTING
        self.ready_at: float | None = None
        self.cells: CellReader | None = None
        self.killed_because: str | None = None
        self.exit_code: int | None = None
        self.table: Any = PlayedTable()
        self.drains: list[float | None] = []

    @property
    def ended(self) -> bool:
        return self.exit_code is not None

    def advance(self, phase: ChildPhase) -> None:
        self.phase = max(self.phase, phase)

    def introduce(self, tasks: list[str], scripts: list[str], parameters: str) -> None:
        self.tasks = tasks

    def drain(self, grace_seconds: float | None) -> None:
        self.advance(ChildPhase.ENDING)
        self.drains.append(grace_seconds)

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def condemn(self, because: str, verdicts: dict[str, KillVerdict]) -> None:
        self.killed_because = self.killed_because or because
        self.advance(ChildPhase.CONDEMNED)

    def kill(self, because: str) -> None:
        self.condemn(because, {})

    def last_stacks(self, threads: Set[int]) -> dict[int, str]:
        return {}

    def how_it_ended(self) -> str:
        return f"its worker process ended with exit code {self.exit_code}"

    def facts(self, name: str, inbox: str, paused: bool) -> dict[str, str]:
        return {}

    def close(self) -> None:
        return None


class Played:
    """A pool whose processes and clock are played here; also its host."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.timers = Timers(lambda: self.now)
        self.started: list[PlayedChild] = []
        self.charged: dict[int, bool] = {}  # pid of a dead child -> whether its calls were charged
        self.begun = 0
        self.empty = False
        self.memory = 0.0
        self.refused = False
        self.can_start = True
        self.reloads = self.failed_imports = 0
        self.options = WorkerOptions(("app",), **{"processes": 1, "shutdown_timeout_seconds": 5.0, **options})
        self.pool = ChildPool(self.options, self, self.timers)
        self.pool.start()

    def can_start_children(self) -> bool:
        return self.can_start

    def code_changed(self) -> None:
        self.reloads += 1

    def import_failed(self) -> None:
        self.failed_imports += 1

    def start_child(self, number: int, paused: bool) -> PlayedChild:
        if self.refused:
            raise OSError("no more processes")
        self.started.append(PlayedChild(number, len(self.started) + 1, paused))
        return self.started[-1]

    def child_exited(self, child: ManagedChild, charged: bool) -> bool:
        self.charged[child.pid] = charged
        return bool(child.table.rows())

    def first_child_ready(self, tasks: list[str]) -> None:
        self.begun += 1

    def facts_changed(self) -> None:
        return None

    def queues_are_empty(self, consumers: list[str]) -> bool:
        return self.empty

    def resident_mb(self, pid: int) -> float:
        return self.memory

    # -- what happens ------------------------------------------------------------------------------------------------

    def say(self, child: PlayedChild, message: ChildMessage) -> None:
        self.pool.handle(ChildSaid(child, message))

    def ready(self, *children: PlayedChild) -> None:
        for child in children:
            self.say(child, Ready(["app.task"], [], "{}", child.pid))

    def die(self, child: PlayedChild, exit_code: int = -9) -> None:
        child.exit_code = exit_code
        self.pool.handle(ChildDied(child))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.timers.run_due()


def started(**options: Any) -> tuple[Played, PlayedChild]:
    """A worker with one child that is ready."""
    played = Played(**options)
    played.ready(*played.started)
    return played, played.started[0]


# -- restart and backoff -----------------------------------------------------------------------------------------------


def test_each_place_gets_a_child_and_the_worker_begins_once() -> None:
    played = Played(processes=3)
    assert [child.number for child in played.started] == [0, 1, 2]
    played.ready(*played.started)
    assert played.begun == 1
    assert played.pool.exit_code is None


def test_a_child_that_dies_is_charged_and_replaced_in_its_place() -> None:
    played, _ = started(processes=2)
    played.wait(60)
    played.die(played.started[1])
    played.wait(0)
    assert played.charged == {2: True}
    assert [child.number for child in played.started] == [0, 1, 1]


def test_children_that_die_at_once_are_replaced_slower_and_slower() -> None:
    played, child = started()
    for seconds in (0.0, 0.25, 0.5, 1.0, 2.0):
        played.die(child)
        before = len(played.started)
        if seconds:
            played.wait(seconds * 0.9)
            assert len(played.started) == before
        played.wait(seconds * 0.1)
        assert len(played.started) == before + 1
        child = played.started[-1]
        played.ready(child)


def test_a_death_is_counted_once() -> None:
    played, child = started()
    played.die(child)
    played.die(child)
    played.wait(0)
    assert len(played.started) == 2


def test_a_worker_whose_children_never_begin_ends_with_their_reason() -> None:
    played = Played()
    for _ in range(MAX_STARTUP_FAILURES):
        played.die(played.started[-1], exit_code=3)
        played.wait(10)
    assert played.pool.exit_code == 1
    assert played.pool.failure == "no child could begin: worker process ended with exit code 3"
    assert len(played.started) == MAX_STARTUP_FAILURES


def test_a_system_that_starts_no_process_is_asked_again() -> None:
    played, child = started()
    played.refused = True
    played.die(child)
    played.wait(0)
    played.refused = False
    played.wait(10)
    assert len(played.started) == 2


def test_an_app_that_cannot_be_imported_ends_the_worker() -> None:
    played = Played(processes=2)
    first, second = played.started
    played.say(first, Failed("no module named app"))
    played.die(first, exit_code=1)
    assert played.pool.exit_code is None
    played.die(second)
    assert (played.pool.exit_code, played.pool.failure) == (1, "no module named app")
    assert played.charged == {1: False, 2: False}


# -- charge or not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "exit_code", "charged"),
    [
        (lambda played, child: None, -11, True),
        (lambda played, child: None, 0, True),  # a task has ended the process
        (lambda played, child: child.kill("past its deadline"), -9, False),
        (lambda played, child: played.say(child, Recycle("old")), 0, False),
        (lambda played, child: played.say(child, Recycle("old")), -9, True),
        (lambda played, child: played.say(child, Drained(True)), 0, False),
        (lambda played, child: played.pool.handle(StopRequested()), 0, False),
        (lambda played, child: played.pool.handle(StopRequested()), -11, True),
    ],
)
def test_calls_are_charged_for_deaths_that_nobody_meant(
    what: Callable[[Played, PlayedChild], None], exit_code: int, charged: bool
) -> None:
    played, child = started()
    what(played, child)
    played.die(child, exit_code)
    assert played.charged[child.pid] is charged


# -- recycling and reload ----------------------------------------------------------------------------------------------


def test_a_recycled_child_works_until_its_successor_is_ready() -> None:
    played, old = started()
    played.say(old, Recycle("it has run 10 calls"))
    new = played.started[1]
    assert (new.number, old.drains) == (0, [])
    played.ready(new)
    assert old.drains == [None]
    played.die(old, 0)
    played.wait(60)
    assert played.charged == {1: False}
    assert len(played.started) == 2


def test_a_child_is_replaced_once() -> None:
    played, old = started()
    played.say(old, Recycle("it has run 10 calls"))
    played.pool.handle(ReloadRequested())
    played.say(old, Recycle("it got SIGTERM"))
    assert [child.number for child in played.started] == [0, 0, 0]  # the reload has replaced the one that was starting
    assert played.started[1].killed_because
    played.ready(played.started[2])
    assert old.drains == [None]


def test_children_start_when_they_can() -> None:
    played, old = started()
    played.can_start = False
    played.pool.handle(ReloadRequested())
    played.pool.handle(ReloadRequested())
    played.wait(60)
    assert (played.reloads, len(played.started), old.drains) == (2, 1, [])
    played.can_start = True
    played.pool.handle(StarterReady())
    played.pool.handle(StarterReady())
    played.wait(60)
    assert len(played.started) == 2
    played.ready(played.started[1])
    assert old.drains == [None]


def test_a_worker_that_is_stopped_before_a_child_can_start_ends() -> None:
    played, child = started()
    played.can_start = False
    played.die(child)
    played.wait(0)
    played.pool.handle(StopRequested())
    played.can_start = True
    played.pool.handle(StarterReady())
    assert (played.pool.exit_code, len(played.started)) == (0, 1)


def test_a_child_that_dies_while_its_successor_waits_is_followed_by_one() -> None:
    played, old = started()
    played.can_start = False
    played.pool.handle(ReloadRequested())
    played.die(old)
    played.wait(60)
    played.can_start = True
    played.pool.handle(StarterReady())
    played.wait(60)
    assert len(played.started) == 2


def test_a_child_above_its_memory_is_replaced() -> None:
    played, child = started(max_memory_per_child_mb=100.0)
    played.memory = 99.0
    played.wait(MEMORY_SECONDS)
    assert len(played.started) == 1
    played.memory = 101.0
    played.wait(MEMORY_SECONDS)
    played.wait(MEMORY_SECONDS)
    assert len(played.started) == 2
    assert child.killed_because is None


def test_a_reload_replaces_children_and_those_that_had_not_begun() -> None:
    played = Played(processes=2)
    ready, starting = played.started
    played.ready(ready)
    played.pool.handle(ReloadRequested("app.py changed"))
    assert (ready.killed_because, starting.killed_because) == (None, "it was importing old code")
    assert [child.number for child in played.started] == [0, 1, 0, 1]
    played.die(starting)
    played.wait(60)
    assert len(played.started) == 4


def test_after_a_reload_to_code_that_fails_the_old_child_stays() -> None:
    played, old = started()
    played.pool.handle(ReloadRequested())
    new = played.started[1]
    played.say(new, Failed("SyntaxError"))
    played.die(new, 1)
    played.wait(60)
    assert (old.phase, old.drains, played.pool.exit_code, len(played.started)) == (ChildPhase.READY, [], None, 2)
    assert played.failed_imports == 1
    played.pool.handle(ReloadRequested())
    played.ready(played.started[2])
    assert old.drains == [None]


def test_a_successor_that_dies_is_followed_by_another_one() -> None:
    played, old = started()
    played.pool.handle(ReloadRequested())
    played.die(played.started[1])
    played.wait(10)
    played.ready(played.started[2])
    assert old.drains == [None]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_a_stop_drains_and_the_worker_ends_with_its_last_child() -> None:
    played, _ = started(processes=2)
    first, second = played.started
    played.pool.handle(StopRequested())
    assert first.drains == second.drains == [5.0]
    for child in (first, second):
        assert played.pool.exit_code is None
        played.say(child, Drained(True))
        played.die(child, 0)
    assert played.pool.exit_code == 0
    played.wait(60)
    assert len(played.started) == 2


def test_calls_that_were_handed_back_are_seen_in_the_exit_code() -> None:
    played, child = started()
    played.pool.handle(StopRequested())
    played.say(child, Drained(False))
    played.die(child, 0)
    assert played.pool.exit_code == 1


def test_a_second_stop_kills_but_not_the_echo_of_the_first() -> None:
    played, child = started()
    played.pool.handle(StopRequested())
    played.now += SIGNAL_DEBOUNCE_SECONDS / 2
    played.pool.handle(StopRequested())
    assert child.killed_because is None
    played.now += SIGNAL_DEBOUNCE_SECONDS
    played.pool.handle(StopRequested())
    played.die(child)
    assert (child.killed_because, played.pool.exit_code) == ("a second signal", 1)
    assert played.charged == {1: False}


def test_children_that_do_not_end_in_time_are_killed() -> None:
    played, child = started()
    played.pool.handle(StopRequested())
    played.wait(5.0 + KILL_MARGIN_SECONDS - 0.01)
    assert child.killed_because is None
    played.wait(0.01)
    assert child.killed_because == "the shutdown timeout is over"
    played.die(child)
    assert played.pool.exit_code == 1


def test_children_that_had_not_begun_are_killed_by_a_stop() -> None:
    played = Played()
    played.pool.handle(StopRequested())
    played.die(played.started[0])
    assert (played.started[0].killed_because, played.pool.exit_code) == ("it had not begun", 0)


def test_a_burst_ends_when_the_queues_are_empty_and_nothing_runs() -> None:
    played, child = started(burst=True)
    played.wait(1)
    played.empty = True
    child.table.running.append("run")
    played.wait(1)
    assert child.drains == []
    child.table.running.clear()
    played.wait(1)
    assert child.drains == [5.0]


def test_the_end_of_the_supervisor_charges_nobody() -> None:
    played, child = started()
    child.table.running.append("run")
    played.pool.close()
    assert (child.killed_because, played.charged, played.pool.children) == ("the worker ends", {1: False}, ())


def test_a_pause_holds_for_children_that_start_later() -> None:
    played, child = started()
    played.pool.handle(PauseRequested(True))
    assert child.paused
    played.die(child)
    played.wait(0)
    assert played.started[1].paused
    played.pool.handle(PauseRequested(False))
    assert not played.started[1].paused
