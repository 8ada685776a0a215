"""A flow that is sent to a worker: a call like any other, and a flow run for everybody who looks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator import flow
from orchestrator.client.fleet import Fleet
from orchestrator.errors import ParameterTypeError, TaskTimeout
from orchestrator.futures import PrefectFuture
from orchestrator.inspection import flow_runs_of
from orchestrator.inspection.flow_runs import FlowRunRow
from orchestrator.inspection.run_walk import RunFilter, walk_runs
from orchestrator.states import Cancelled, State
from tests.support import signals
from tests.support.apps import flows_sent
from tests.support.ends import all_of
from tests.support.engines import ROOT, Engine, StartedWorker, environment_of
from tests.support.waiting import wait_until

APP = "tests.support.apps.flows_sent"
SETTINGS = {"lease_seconds": 2.5, "beat_seconds": 0.4}
Starts = Callable[[], StartedWorker]


@pytest.fixture
def start_worker(engine: Engine, fleet: Fleet) -> Iterator[Starts]:
    started: list[StartedWorker] = []

    def start() -> StartedWorker:
        started.append(engine.start_worker(fleet.settings, APP))
        return started[-1]

    yield start
    all_of(worker.stop for worker in started)


@pytest.fixture
def at_work(start_worker: Starts) -> StartedWorker:
    """A worker."""
    return start_worker()


def shown(fleet: Fleet, run_id: str) -> FlowRunRow:
    """The flow run as lists show it."""
    (row,) = [row for row in flow_runs_of(fleet, limit=1000) if row.id == run_id]
    return row


@pytest.mark.smoke
def test_a_flow_of_a_killed_worker_is_completed_by_another_and_its_parts_are_not_run_again(
    fleet: Fleet, start_worker: Starts, tmp_path: Path
) -> None:
    entered, go_on, worked = (str(tmp_path / name) for name in ("in", "on", "worked"))
    first = start_worker()
    future = flows_sent.adds_up.delay(entered, go_on, worked)
    signals.wait_for(entered, 1)
    wait_until(lambda: future.state.is_running(), message="noted as running")
    first.kill()
    start_worker()
    signals.wait_for(entered, 2)
    assert shown(fleet, future.run_id).state_type == "RUNNING"
    signals.give(go_on)
    assert future.result(timeout=40) == {"id": future.run_id, "runs": 2, "sum": 10}
    assert signals.count(worked) == 2  # of two parts: the second attempt found their results
    row = shown(fleet, future.run_id)
    assert (row.flow, row.state_type, row.run_count) == ("adds up", "COMPLETED", 2)


@pytest.mark.smoke
@pytest.mark.usefixtures("at_work")
def test_what_is_known_of_a_flow_on_a_worker(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on, worked = (str(tmp_path / name) for name in ("in", "on", "worked"))
    future = flows_sent.adds_up.submit(entered, go_on, worked, n=3)
    assert shown(fleet, future.run_id).state_type in ("PENDING", "RUNNING")
    signals.wait_for(entered, 1)
    signals.give(go_on)
    assert future.result(timeout=60)["sum"] == 30
    script = f"from orchestrator import PrefectFuture; print(PrefectFuture({future.run_id!r}).result(timeout=60))"
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], env=environment_of(fleet.settings), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert elsewhere.stdout.strip() == str(future.result())
    parts = walk_runs(fleet, RunFilter(flow_run_id=future.run_id)).runs
    assert [run.task_name for run in parts] == ["part"] * 3
    assert future.run_id not in [run.id for run in walk_runs(fleet, RunFilter()).runs]  # it is no task run
    again = asyncio.run(flows_sent.adds_up.asubmit(entered, go_on, worked, n=2, wait_for=[future]))
    assert again.result(timeout=60)["sum"] == 10
    wait_until(lambda: any(line.message == "begun 3" for line in fleet.logs.read(future.run_id)), message="its log")


@pytest.mark.smoke
@pytest.mark.usefixtures("at_work")
def test_a_flow_on_a_worker_is_cancelled(fleet: Fleet, tmp_path: Path) -> None:
    entered, go_on, worked = (str(tmp_path / name) for name in ("in", "on", "worked"))
    future = flows_sent.adds_up.submit(entered, go_on, worked)
    signals.wait_for(entered, 1)
    assert future.cancel()
    future.wait(timeout=30)
    assert future.state.is_cancelled()
    assert shown(fleet, future.run_id).state_type == "CANCELLED"


def test_a_flow_that_is_cancelled_in_the_queue_is_shown_so(fleet: Fleet) -> None:
    future = flows_sent.fails_once.apply_async(countdown=600)
    assert shown(fleet, future.run_id).state_type == "SCHEDULED"
    assert future.cancel()
    assert shown(fleet, future.run_id).state_type == "CANCELLED"


@pytest.mark.usefixtures("at_work")
def test_a_retry_is_another_delivery_of_the_same_run(fleet: Fleet) -> None:
    future = flows_sent.fails_once.submit()
    assert future.result(timeout=60) == (2, future.run_id)
    assert shown(fleet, future.run_id).run_count == 2


@pytest.mark.usefixtures("at_work")
def test_timeouts_async_flows_and_returned_futures(fleet: Fleet, tmp_path: Path) -> None:
    worked = str(tmp_path / "worked")
    slow, on_a_loop = flows_sent.too_slow.submit(), asyncio.run(flows_sent.adds_up_on_a_loop.adelay(4, worked))
    futures, sent = flows_sent.gives_futures.submit(worked), flows_sent.sends.submit(worked)
    assert on_a_loop.result(timeout=60) == 60
    assert futures.result(timeout=60) == [10, 20]
    assert PrefectFuture(sent.result(timeout=60)).result(timeout=60) == [10, 20]
    with pytest.raises(TaskTimeout, match="flow too-slow ran longer than"):
        slow.result(timeout=60)
    assert shown(fleet, slow.run_id).state_name == "TimedOut"


def test_arguments_are_checked_where_the_flow_is_sent(fleet: Fleet) -> None:
    with pytest.raises(ParameterTypeError):
        flows_sent.adds_up_on_a_loop.delay("many", "nowhere")


@pytest.mark.usefixtures("at_work")
def test_a_known_idempotency_key_sends_no_second_flow(fleet: Fleet) -> None:
    first, second = (flows_sent.fails_once.apply_async(idempotency_key="monday") for _ in range(2))
    assert first.run_id == second.run_id
    assert first.result(timeout=60) == (2, first.run_id)


@pytest.mark.usefixtures("at_work")
def test_a_run_that_a_task_on_a_worker_started_is_cancelled_with_the_flow_run_around_it(fleet: Fleet) -> None:
    flows_sent.fails_once.to_deployment("child").apply()

    @flow
    def gives_up() -> State[None]:
        flows_sent.starts.submit("fails-once/child").result(timeout=60)
        return Cancelled()

    assert gives_up(return_state=True).is_cancelled()
    (child,) = fleet.broker.flow_runs.listed()[1]
    wait_until(lambda: shown(fleet, child).state_type == "CANCELLED", message="the child is cancelled")
