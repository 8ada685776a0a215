"""Tasks that misbehave inside their process: those that come after them, and those beside them, do not notice."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import unmapped
from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCrashed
from orchestrator.futures import wait
from tests.support.app_for_workers import sleep_and_note
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
    return [record.crashes for record in fleet.broker.records.read(run_ids)]


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
        assert fleet.broker.runs.replay([closing.run_id]) == [closing.run_id]
        closing.reopen()
        assert closing.result(timeout=40) == "left them alone"
    else:
        closing.wait(40)  # its end was stored before its process ended, or not
        assert closing.state.is_completed() or closing.state.is_crashed()
    assert "a task has closed descriptors that are not its own" in worker.output
    assert app.which_process.submit().result(timeout=40) not in (process, os.getpid())


def test_context_variables_and_the_decimal_context_of_a_call_are_its_own(fleet: Fleet, start: Start) -> None:
    start("--threads", "2")
    app_sees = [None, "set at import", 50]
    for seen in (app.sees_and_sets, app.sees_and_sets_async):
        assert seen.map([f"n{n}" for n in range(20)]).result(timeout=40) == [app_sees] * 20


def test_a_call_that_cancels_itself_ends_once_and_the_event_loop_goes_on(fleet: Fleet, start: Start) -> None:
    start()
    for when in ("itself", "all"):
        cancelled = app.cancels_itself.submit(when)
        cancelled.wait(timeout=40)
        assert (cancelled.state.name, cancelled.state.message) == ("Failed", "CancelledError: ")
    assert app.cancels_itself.submit("and returns").result(timeout=40) == "went on"
    assert app.add_async.map(range(20), 1).result(timeout=40) == list(range(1, 21))


ENDINGS = [(how, name) for how in (app.raises, app.raises_async, app.raises_in_a_child_task) for name in app.ENDS]


def test_what_ends_a_program_ends_a_call_and_nothing_else(fleet: Fleet, start: Start) -> None:
    start("--threads", "2")
    process = app.which_process.submit().result(timeout=40)
    futures = [(how.submit(name), name) for how, name in ENDINGS for _ in range(3)]
    for future, name in futures:
        future.wait(timeout=40)
        assert future.state.is_failed(), future.state
        assert future.state.message.startswith(name)
    for name in app.ENDS:
        assert app.raises_in_a_forgotten_task.submit(name).result(timeout=40) == "went on"
    assert app.stops_the_loop.submit().result(timeout=40) == "went on"
    assert app.hooked.submit(5).result(timeout=40) == 5
    assert app.add_async.map(range(20), 1).result(timeout=40) == list(range(1, 21))
    assert {app.which_process.submit().result(timeout=40) for _ in range(10)} == {process}
    assert crashes(fleet, [future.run_id for future, _ in futures]) == [0] * len(futures)


def test_a_process_that_a_task_forks_runs_the_task_to_its_end_and_is_no_worker(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start("--threads", "2")
    worker = app.which_process.submit().result(timeout=40)
    codes = {"returns": 0, "exits": 3, "fails": 1, "closes": 1}
    forked = [
        (forks.submit(str(tmp_path), how), code)
        for forks in (app.forks, app.forks_async)
        for how, code in codes.items()
    ]
    assert [future.result(timeout=40) for future, _ in forked] == [["from the worker", code] for _, code in forked]
    assert [future.state.run_count for future, _ in forked] == [1] * 8
    assert {app.which_process.submit().result(timeout=40) for _ in range(20)} == {worker}
    copies = [int(line.split()[-1]) for line in notes(tmp_path).splitlines()]
    assert len(copies) == 8
    wait_until(lambda: not any(map(is_alive, copies)), 40, "the copies have ended")


def test_a_process_that_an_async_task_forks_cannot_run_the_other_calls_of_its_loop(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start()
    others = app.add_async.map(range(50), 1)
    forked = app.forks_async.submit(str(tmp_path), "awaits")
    assert forked.result(timeout=40) == ["from the worker", 1]
    assert others.result(timeout=40) == list(range(1, 51))
    assert app.add_async.submit(1, 1).result(timeout=40) == 2


def test_forked_children_of_multiprocessing_end_as_they_are_told_and_their_worker_goes_on(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start()
    process = app.which_process.submit().result(timeout=40)
    assert app.forks_by_multiprocessing.submit(str(tmp_path)).result(timeout=40) == [3, -signal.SIGTERM]
    assert app.which_process.submit().result(timeout=40) == process
    assert "recycled" not in worker.output


def test_a_task_that_touches_signal_handlers_leaves_those_of_the_worker(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start()
    assert app.runs_a_program_of_its_own.submit().result(timeout=40) == "ran"
    future = sleep_and_note.submit(str(tmp_path), "call", 1.0)
    wait_until(lambda: "call begins" in notes(tmp_path), 40, "it runs")
    worker.signal_all(signal.SIGTERM)
    assert worker.wait() == 0
    assert future.result(timeout=40) == "call"
    assert "call ends" in notes(tmp_path)


def _program(folder: Path) -> int:
    wait_until(lambda: "program" in notes(folder), 40, "the program is started")
    return int(notes(folder).split()[1])


@pytest.mark.parametrize("how", ["hard timeout", "killed from outside", "shutdown"])
def test_a_program_does_not_outlive_the_call_that_started_it_when_its_process_is_killed(
    fleet: Fleet, start: Start, tmp_path: Path, how: str
) -> None:
    worker = start("--shutdown-timeout", "0.3")
    options = {"hard_timeout_seconds": 0.5} if how == "hard timeout" else {"max_deliveries": 1}
    future = app.converts.with_options(**options).submit(str(tmp_path))
    program = _program(tmp_path)
    if how == "killed from outside":
        os.kill(worker.children()[0], signal.SIGKILL)
    if how == "shutdown":
        worker.terminate()
        assert worker.wait() == 1
    else:
        future.wait(timeout=40)
    wait_until(lambda: not is_alive(program), 40, "the program has ended")


def test_a_program_that_a_completed_call_has_left_behind_is_let_be(fleet: Fleet, start: Start, tmp_path: Path) -> None:
    worker = start()
    app.leaves_a_program.submit(str(tmp_path)).result(timeout=40)
    worker.terminate()
    assert worker.wait() == 0
    program = _program(tmp_path)
    assert is_alive(program)
    os.kill(program, signal.SIGKILL)
