"""Workers at work: children that run calls, die, are stuck, are replaced."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled, RunCrashed, TaskTimeout
from orchestrator.futures import wait
from tests.support import app_for_workers as app
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, is_alive, notes, wait_note

pytestmark = pytest.mark.behaviour


@pytest.mark.smoke
def test_calls_of_sync_and_async_tasks_come_back_as_results(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "2", ready=2)
    futures = [*app.add.map(range(200), 1), *app.add_async.map(range(50), 1)]
    assert [future.result(timeout=40) for future in futures] == [*range(1, 201), *range(1, 51)]
    run = futures[0].run_id
    worker.wait_output(rf"Completed add {run} \d+\.\d\d\d s")


def test_the_banner_tells_queues_concurrency_and_tasks(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "-Q", "high,default", "--threads", "3", "-n", "oven", ready=1)
    for text in ("oven", "high, default", "1 process (3 threads, 100 async calls each)", f"    {app.add.task_key}"):
        assert text in worker.output
    wait_until(lambda: any(facts.get("name") == "oven" for facts in fleet.live_workers().values()))
    (facts,) = fleet.live_workers().values()
    assert facts["queues"] == "high,default"
    assert app.add.task_key in facts["tasks"].split(",")
    assert int(facts["pid"]) == worker.children()[0]


@pytest.mark.smoke
def test_kill_9_while_a_task_runs_hands_the_call_to_another_process(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "2", ready=2)
    future = app.sleep_if_first.delay(str(tmp_path), "work")
    os.kill(wait_note(tmp_path, "work begins"), signal.SIGKILL)
    assert future.result(timeout=40) == "work"
    assert fleet.broker.records.read([future.run_id])[0].crashes == 1
    assert len({line.rsplit(" ", 1)[1] for line in notes(tmp_path).splitlines()}) == 2
    worker.wait_ready(3)
    assert "SIGKILL (signal 9; out of memory?)" in worker.output


@pytest.mark.parametrize(("how", "reason"), [("exit", "exit code 3"), ("signal", "SIGSEGV (signal 11)")])
def test_a_poisonous_call_is_a_dead_letter_after_three_deaths_and_its_neighbours_complete(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path, how: str, reason: str
) -> None:
    start_worker("-c", "2", ready=2)
    before = app.add.map(range(20), 1)
    poison = app.poison.delay(str(tmp_path), how)
    after = app.add.map(range(20), 1)
    with pytest.raises(RunCrashed, match=r"3 times") as caught:
        poison.result(timeout=40)
    assert reason in str(caught.value)
    assert [future.result(timeout=40) for future in [*before, *after]] == [*range(1, 21)] * 2
    assert notes(tmp_path).count("poison in") == 3
    assert fleet.broker.dead_letters.newest() == [poison.run_id]

    (tmp_path / "antidote").touch()
    assert fleet.broker.runs.replay([poison.run_id]) == [poison.run_id]
    poison.reopen()
    assert poison.result(timeout=40) == "cured"
    assert fleet.broker.dead_letters.newest() == []


def test_sys_exit_in_a_task_fails_the_run_and_not_its_worker(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", ready=1)
    state = app.leave.submit(3, return_state=True)
    assert state.is_failed()
    assert "SystemExit: 3" in (state.message or "")
    assert app.which_process.submit().result(timeout=40) == worker.children()[0]


def test_a_retry_waits_elsewhere_and_is_told(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "1", ready=1)
    future = app.fails_first.delay(str(tmp_path))
    assert future.result(timeout=40) == "the second time"
    worker.wait_output(rf"AwaitingRetry fails_first {future.run_id} .* again in 0.2 s: ValueError: the first time")
    worker.wait_output(rf"Retrying  fails_first {future.run_id}")


def test_a_sleeping_task_that_is_cancelled_stops_and_its_process_goes_on(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_KILL_GRACE_SECONDS="30")
    future = app.sleep_and_note.delay(str(tmp_path), "nap", 60)
    process = wait_note(tmp_path, "nap begins")
    assert future.cancel()
    with pytest.raises(RunCancelled):
        future.result(timeout=60)
    assert app.which_process.submit().result(timeout=40) == process == worker.children()[0]


def test_an_async_task_that_is_cancelled_stops(fleet: Fleet, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_KILL_GRACE_SECONDS="30")
    future = app.sleep_async.delay(str(tmp_path), "nap")
    wait_note(tmp_path, "nap begins")
    assert future.cancel()
    with pytest.raises(RunCancelled):
        future.result(timeout=60)
    assert app.which_process.submit().result(timeout=40) == worker.children()[0]


def test_a_task_stuck_in_c_code_that_is_cancelled_is_killed_and_its_neighbours_complete(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker("-c", "1", ready=1)
    stuck = app.stuck_in_c.delay(str(tmp_path), "stuck")
    neighbours = app.add.map(range(20), 1)
    process = wait_note(tmp_path, "stuck begins")
    assert stuck.cancel()
    with pytest.raises(RunCancelled, match=r"killed after 0\.5 s of grace"):
        stuck.result(timeout=40)
    assert [future.result(timeout=40) for future in neighbours] == [*range(1, 21)]
    assert not is_alive(process)
    assert [record.crashes for record in fleet.broker.records.read([future.run_id for future in neighbours])] == [
        0
    ] * 20
    assert worker.process.poll() is None


def test_calls_that_wait_in_a_frozen_process_are_given_to_others(
    fleet: Fleet, start_worker: StartWorker, tmp_path: Path
) -> None:
    first = app.add.delay(0, 1)
    stuck = app.stuck_in_c.delay(str(tmp_path), "stuck")
    neighbours = app.add.map(range(10), 1)
    for future in neighbours:
        future.wait(0)  # sent
    start_worker("-c", "1")
    wait_note(tmp_path, "stuck begins")
    start_worker("-c", "1", ready=1)
    assert [future.result(timeout=40) for future in [first, *neighbours]] == [1, *range(1, 11)]
    assert notes(tmp_path).count("stuck begins") == 1
    assert not stuck.settled


def test_timeout_seconds_interrupts_a_sleeping_task(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", ready=1, ORCHESTRATOR_KILL_GRACE_SECONDS="30")
    sync, asynchronous = app.sleep_too_long.delay(), app.sleep_too_long_async.delay()
    for future in (sync, asynchronous):
        with pytest.raises(TaskTimeout):
            future.result(timeout=40)
        assert future.state.name == "TimedOut"
    assert app.which_process.submit().result(timeout=40) == worker.children()[0]


def test_a_task_stuck_in_c_code_past_its_timeout_is_killed_and_timed_out(
    fleet: Fleet, start_worker: StartWorker
) -> None:
    worker = start_worker("-c", "1", ready=1)
    stuck = app.stuck_with_timeout.delay()
    with pytest.raises(TaskTimeout, match="its process was killed"):
        stuck.result(timeout=40)
    assert stuck.state.name == "TimedOut"
    assert app.which_process.submit().result(timeout=40) != worker.children()[0]


def test_children_are_replaced_after_so_many_calls_and_no_call_is_lost(fleet: Fleet, start_worker: StartWorker) -> None:
    start_worker("-c", "2", "--max-tasks-per-child", "30", ready=2)
    futures = [app.which_process.submit() for _ in range(100)]
    wait(futures, timeout=60)
    processes = [future.result(timeout=0) for future in futures]
    assert len(set(processes)) >= 4
    assert max(processes.count(process) for process in set(processes)) <= 30
    assert [record.crashes for record in fleet.broker.records.read([future.run_id for future in futures])] == [0] * 100


def test_a_child_of_one_call_each_gets_through(fleet: Fleet, start_worker: StartWorker) -> None:
    start_worker("-c", "2", "--max-tasks-per-child", "1", ready=2)
    processes = [future.result(timeout=60) for future in [app.which_process.submit() for _ in range(3)]]
    assert len(set(processes)) == 3


def test_a_child_that_has_grown_is_replaced(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", "--max-memory-per-child", "200", ready=1)
    process = app.hoard.submit(300).result(timeout=40)
    worker.wait_ready(2)
    wait_until(lambda: not is_alive(process), 15, "the large child has ended")
    assert app.which_process.submit().result(timeout=40) != process


def test_lines_of_run_loggers_appear_and_are_kept(fleet: Fleet, start_worker: StartWorker) -> None:
    worker = start_worker("-c", "1", ready=1)
    future = app.say.delay("good morning")
    assert future.result(timeout=40) == "good morning"
    worker.wait_output("saying good morning")
    wait_until(lambda: [line.message for line in fleet.logs.read(future.run_id)] == ["saying good morning"])
