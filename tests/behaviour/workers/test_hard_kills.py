"""Calls that hold the interpreter or the event loop, or take their process with them, and what is told of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.errors import RunCancelled, RunCrashed, TaskTimeout
from tests.support.apps import deaf
from tests.support.waiting import wait_until
from tests.support.worker_process import QUICK, StartWorker, WorkerProcess, notes, wait_note

pytestmark = pytest.mark.behaviour
HERE = deaf.__file__
Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(start_worker: StartWorker) -> Start:
    """Start a worker of these tasks and wait for its child."""
    return lambda *options, **environment: start_worker("-c", "1", *options, ready=1, app=deaf.__name__, **environment)


@pytest.mark.parametrize("stuck", [deaf.match_for_ever, deaf.match_on_the_loop], ids=["in a thread", "on the loop"])
def test_a_catastrophic_regular_expression_past_its_hard_timeout_is_timed_out_and_tells_where_it_was(
    fleet: Fleet, start: Start, stuck: Any
) -> None:
    worker = start()
    future = stuck.delay()
    with pytest.raises(TaskTimeout, match="its process was killed") as caught:
        future.result(timeout=40)
    stack = str(caught.value.__cause__)
    assert f'  File "{HERE}", line ' in stack
    assert f"in {stuck.fn.__name__}\n" in stack
    assert "drivers.py" not in stack  # ours is left out
    assert (future.state.name, "\n" in future.state.message) == ("TimedOut", False)
    lines = [line.message for line in fleet.logs.read(future.run_id)]
    assert [line for line in lines if "timed out" in line and f"in {stuck.fn.__name__}\n" in line]
    worker.wait_output(rf"{future.run_id}: timed out[\s\S]*in {stuck.fn.__name__}\n")
    assert deaf.which_process.submit().result(timeout=40) != worker.children()[0]


@pytest.mark.smoke
def test_a_call_killed_past_its_hard_timeout_is_retried_as_after_any_timeout(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start()
    future = deaf.stuck_the_first_time.delay(str(tmp_path))
    assert future.result(timeout=40) == "the second time"
    (record,) = fleet.broker.records.read([future.run_id])
    assert (record.retries, record.crashes, future.state.run_count) == (1, 0, 2)
    worker.wait_output(rf"{future.run_id}: timed out.*; again in 0\.2 s")
    lines = [line.message for line in fleet.logs.read(future.run_id)]
    assert [line for line in lines if "in hold_the_interpreter" in line]  # of the attempt that is gone


def test_a_call_that_is_killed_each_time_is_timed_out_when_no_retry_is_left(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start()
    future = deaf.always_stuck.delay(str(tmp_path))
    with pytest.raises(TaskTimeout):
        future.result(timeout=40)
    assert notes(tmp_path).count("an attempt") == 2
    (record,) = fleet.broker.records.read([future.run_id])
    assert (record.retries, record.crashes) == (1, 0)


def test_a_call_whose_retry_condition_cannot_be_asked_is_not_retried_after_a_kill(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start()
    future = deaf.stuck_with_a_condition.delay(str(tmp_path))
    with pytest.raises(TaskTimeout):
        future.result(timeout=40)
    assert notes(tmp_path).count("an attempt") == 1
    assert fleet.broker.records.read([future.run_id])[0].retries == 0


def cpu_seconds(process: int) -> float:
    """How long a process has computed, outside of the kernel."""
    facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(facts[11]) / os.sysconf("SC_CLK_TCK")


def test_a_deaf_call_that_is_cancelled_is_cancelled_for_good_and_tells_where_it_was(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    start()
    future = deaf.stuck_and_unwanted.delay(str(tmp_path))
    child = wait_note(tmp_path, "an attempt")
    noted_at = cpu_seconds(child)
    wait_until(lambda: cpu_seconds(child) > noted_at + 0.3, message="it holds the interpreter, and hears nothing")
    future.cancel()
    with pytest.raises(RunCancelled, match="its process was killed") as caught:
        future.result(timeout=40)
    assert re.search(r"in stuck_and_unwanted\n.*in hold_the_interpreter", str(caught.value.__cause__))
    assert fleet.broker.records.read([future.run_id])[0].retries == 0


@pytest.mark.parametrize("server_program", ["embedded"], indirect=True)  # the worker's patience, not the server's
def test_a_task_that_holds_the_interpreter_for_five_leases_runs_once_and_its_worker_is_shown_alive(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    gate = os.open(pipe, os.O_RDWR)
    first = start("-n", "first")
    future = deaf.read_in_c.delay(str(tmp_path), str(pipe))
    assert wait_note(tmp_path, "reading") == first.children()[0]
    start("-n", "second")
    wait_until(lambda: {"first", "second"} == {facts.get("name") for facts in fleet.live_workers().values()})
    both = set(fleet.live_workers())
    end = time.monotonic() + 5 * float(QUICK["ORCHESTRATOR_LEASE_SECONDS"])

    def five_leases_are_over() -> bool:
        assert set(fleet.live_workers()) == both
        return time.monotonic() > end

    wait_until(five_leases_are_over, 60)
    os.write(gate, b"!")
    os.close(gate)
    assert future.result(timeout=40) == "!"
    (record,) = fleet.broker.records.read([future.run_id])
    assert (record.crashes, record.take_overs, notes(tmp_path).count("reading")) == (0, 0, 1)


def test_a_coroutine_that_blocks_the_loop_is_reported_and_its_worker_lives_on(
    fleet: Fleet, start: Start, tmp_path: Path
) -> None:
    worker = start()
    future = deaf.hold_the_loop.delay(str(tmp_path))
    wait_note(tmp_path, "blocking")
    worker.wait_output(r"a coroutine has been blocking the event loop for [\s\S]*in hold_the_loop")
    lease = float(QUICK["ORCHESTRATOR_LEASE_SECONDS"])
    blocked_until = time.monotonic() + 1.5 * lease

    def more_than_a_lease_is_over() -> bool:
        assert fleet.live_workers()
        return time.monotonic() > blocked_until

    wait_until(more_than_a_lease_is_over, 60)
    (tmp_path / "gate").touch()
    assert future.result(timeout=40) == "let go"
    worker.wait_output(r"the event loop was blocked for \d")
    (record,) = fleet.broker.records.read([future.run_id])
    assert (record.crashes, record.take_overs, notes(tmp_path).count("blocking")) == (0, 0, 1)


def test_a_dead_letter_of_a_process_that_was_killed_tells_its_signal_and_its_memory(fleet: Fleet, start: Start) -> None:
    start()
    future = deaf.grow_and_be_killed.delay(300)
    with pytest.raises(RunCrashed, match=r"SIGKILL \(signal 9; out of memory\?\)") as caught:
        future.result(timeout=40)
    told = re.search(r"peak memory (\d+) MiB", str(caught.value))
    assert told is not None
    assert 300 <= int(told[1]) < 3_000
    assert fleet.broker.dead_letters.newest() == [future.run_id]
