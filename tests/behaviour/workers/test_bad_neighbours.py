"""Tasks that misbehave inside their process: those that come after them, and those beside them, do not notice."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import unmapped
from orchestrator.errors import RunCrashed
from orchestrator.fleet import Fleet
from orchestrator.futures import wait
from tests.support.apps import neighbours as app
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess, is_alive, notes

pytestmark = [pytest.mark.behaviour, pytest.mark.parametrize("server_program", ["embedded"], indirect=True)]
Start = Callable[..., WorkerProcess]


@pytest.fixture(autouse=True)
def one_server_is_enough(server_program: Path) -> None:
    """What happens inside a process does not depend on the server."""


@pytest.fixture
def start(start_worker: StartWorker) -> Start:
    """Start a worker of these tasks and wait for its child."""
    return lambda *options, **more: start_worker("-c", "1", *options, ready=1, app=app.__name__, **more)


def crashes(fleet: Fleet, run_ids: list[str]) -> list[int]:
    return [record.crashes for record in fleet.broker.read(run_ids)]


def test_a_task_that_changes_its_arguments_changes_them_for_no_other_call_and_no_retry(
    fleet: Fleet, start: Start
) -> None:
    start()
    basket, table = [1, [2]], {"inner": [3]}
    untouched = [[1, [2]], {"inner": [3]}]
    futures = app.spoil.map(unmapped(basket), [table] * 20)
    retried = app.spoil.submit(basket, table, failures=2)
    first = app.spoil.submit(basket, table)
    downstream = app.spoil.submit(first, table, failures=1)
    assert [future.result(timeout=40) for future in [*futures, retried, first]] == [untouched] * 22
    assert retried.state.run_count == 3
    assert downstream.result(timeout=40) == [untouched, {"inner": [3]}]
    assert first.result() == untouched == [basket, table]


def test_tasks_that_leak_cost_processes_and_no_call(fleet: Fleet, start: Start) -> None:
    worker = start("--max-memory-per-child", "150")
    futures = []
    while len(worker.children()) < 3:  # two have been replaced
        futures.append(app.leak.submit(100))
        wait([futures[-1]], timeout=40)
        assert len(futures) < 500, worker.output
    futures += app.leak.map([1] * 20)
    processes = {future.result(timeout=40) for future in futures}
    assert len(processes) >= 2
    assert crashes(fleet, [future.run_id for future in futures]) == [0] * len(futures)


def test_threads_that_outlive_their_call_harm_no_other_and_hold_up_no_end(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start()
    assert app.leave_threads.submit(str(tmp_path), 50).result(timeout=40) > 50
    wait_until(lambda: "a thread fails" in notes(tmp_path), 20, "a thread has failed")
    assert app.add.map(range(100), 1).result(timeout=40) == list(range(1, 101))
    assert app.which_process.submit().result(timeout=40) == worker.children()[0]
    worker.terminate()
    assert worker.wait() == 0, worker.output
    assert not is_alive(worker.children()[0])


def test_a_task_that_prints_100_mb_passes_it_through_and_its_process_goes_on(fleet: Fleet, start: Start) -> None:
    worker = start()
    try:
        process = app.shout.submit(100).result(timeout=100)
        assert worker.log.stat().st_size > 100 * 2**20
        assert app.which_process.submit().result(timeout=40) == process == worker.children()[0]
    finally:
        os.truncate(worker.log, 0)


def test_a_task_that_prints_100_mb_into_its_log_keeps_the_last_lines_of_it(fleet: Fleet, start: Start) -> None:
    worker = start()
    try:
        (process,) = worker.children()
        future = app.shout_into_the_log.submit(100)
        assert future.result(timeout=100) == process
        lines = [line.message for line in fleet.logs.read(future.run_id)]
        assert lines[-1] == "4999"
        assert len(lines) == fleet.settings.log_lines_per_run
        assert app.which_process.submit().result(timeout=40) == process
    finally:
        os.truncate(worker.log, 0)


@pytest.mark.parametrize("seconds", [30.0, 0.0], ids=["and goes on", "and returns"])
def test_a_task_that_closes_all_descriptors_costs_its_process_and_no_other_call(
    fleet: Fleet, start: Start, tmp_path: Path, seconds: float
) -> None:
    worker = start()
    (process,) = worker.children()
    assert app.add.map(range(20), 1).result(timeout=40) == [*range(1, 21)]
    closing = app.close_descriptors.submit(str(tmp_path), seconds)
    after = app.add.map(range(20), 1)
    wait_until(lambda: not is_alive(process), 40, "the process has ended")
    assert after.result(timeout=40) == [*range(1, 21)]
    if seconds:
        assert crashes(fleet, [future.run_id for future in after]) == [0] * 20
        with pytest.raises(RunCrashed, match=r"exit code 71.*2 times"):
            closing.result(timeout=40)
        assert len(set(re.findall(r"closing in (\d+)", notes(tmp_path)))) == 2
        (tmp_path / "forbidden").touch()
        assert fleet.broker.replay([closing.run_id]) == [closing.run_id]
        closing.reopen()
        assert closing.result(timeout=40) == "left them alone"
    else:
        closing.wait(40)  # its end was stored before its process ended, or not
        assert closing.state.is_completed() or closing.state.is_crashed()
    assert "a task has closed descriptors that are not its own" in worker.output
    assert app.which_process.submit().result(timeout=40) not in (process, os.getpid())
