"""A process that serves flows: a child for each run, so many at once as it was told, and what becomes of it all."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.futures import PrefectFuture
from tests.support import signals
from tests.support.apps import served_flows
from tests.support.apps.served_flows import QUEUE
from tests.support.ends import all_of
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

SETTINGS = {"lease_seconds": 2, "beat_seconds": 0.4, "kill_grace_seconds": 0.5}
SECONDS = 40.0
Starts = Callable[[int], ServingProcess]


@pytest.fixture(scope="module")
def host(fleet: Fleet) -> Iterator[ServingProcess]:
    """A server that runs one flow run at a time."""
    process = serving(fleet, 1)
    yield process
    process.close()


@pytest.fixture
def start_host(fleet: Fleet) -> Iterator[Starts]:
    """Starts others beside it."""
    started: list[ServingProcess] = []

    def start(limit: int) -> ServingProcess:
        started.append(serving(fleet, limit))
        return started[-1]

    yield start
    all_of(process.close for process in started)


def serving(fleet: Fleet, limit: int) -> ServingProcess:
    return ServingProcess(fleet.settings, "-m", "tests.support.apps.served_flows", str(limit))


def send(flow: object, *args: object) -> PrefectFuture[object]:
    return flow.apply_async(args, queue=QUEUE)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.smoke
def test_each_flow_run_has_a_process_of_its_own(host: ServingProcess) -> None:
    runs = [send(served_flows.where) for _ in range(3)]
    places = [run.result(timeout=SECONDS) for run in runs]
    assert len({pid for pid, _ in places}) == 3
    assert {parent for _, parent in places} == {host.process.pid}


def test_with_one_place_a_flow_run_waits_for_another_of_the_same_queue(host: ServingProcess) -> None:
    assert send(served_flows.nests, 3).result(timeout=SECONDS) == ["innermost", "depth 1", "depth 2", "depth 3"]


def test_no_more_flow_runs_are_at_work_than_there_are_places(host: ServingProcess, tmp_path: Path) -> None:
    entered, go_on, second = (str(tmp_path / name) for name in ("in", "on", "second"))
    first = send(served_flows.where, entered, go_on)
    signals.wait_for(entered)
    other = send(served_flows.where, second, go_on)
    nested = send(served_flows.nests, 0)
    assert signals.count(second) == 0
    signals.give(go_on)
    places = [run.result(timeout=SECONDS) for run in (first, other)]
    assert len({pid for pid, _ in places}) == 2
    assert nested.result(timeout=SECONDS) == ["innermost"]


def test_an_async_flow_run_is_one_of_so_many_as_well(host: ServingProcess, tmp_path: Path) -> None:
    entered, go_on, second = (str(tmp_path / name) for name in ("in", "on", "second"))
    first = send(served_flows.where_on_a_loop, entered, go_on)
    signals.wait_for(entered)
    other = send(served_flows.where, second, go_on)
    assert signals.count(second) == 0
    signals.give(go_on)
    assert first.result(timeout=SECONDS) != other.result(timeout=SECONDS)[0]  # type: ignore[index]


def test_a_cancelled_async_flow_run_ends(host: ServingProcess, tmp_path: Path) -> None:
    entered = str(tmp_path / "in")
    stuck = send(served_flows.where_on_a_loop, entered, str(tmp_path / "never"))
    signals.wait_for(entered)
    assert stuck.cancel()
    wait_until(lambda: stuck.state.is_final(), SECONDS, "its end")
    assert stuck.state.is_cancelled()


def test_a_flow_run_that_kills_its_process_is_run_again(host: ServingProcess, tmp_path: Path) -> None:
    assert send(served_flows.dies_at_first, str(tmp_path / "died")).result(timeout=SECONDS) == "the second time"


def test_a_cancelled_flow_run_ends_and_frees_its_place(host: ServingProcess, tmp_path: Path) -> None:
    entered = str(tmp_path / "in")
    stuck = send(served_flows.where, entered, str(tmp_path / "never"))
    signals.wait_for(entered)
    assert stuck.cancel()
    wait_until(lambda: stuck.state.is_final(), SECONDS, "its end")
    assert stuck.state.is_cancelled()
    assert send(served_flows.nests, 0).result(timeout=SECONDS) == ["innermost"]


@pytest.mark.smoke
def test_runs_of_a_killed_server_are_completed_by_the_other(
    start_host: Starts, host: ServingProcess, tmp_path: Path
) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    doomed = start_host(2)
    runs = [send(served_flows.where, entered, go_on) for _ in range(12)]
    signals.wait_for(entered, times=3)  # all places are taken
    doomed.kill()
    signals.give(go_on)
    places = [run.result(timeout=SECONDS) for run in runs]
    assert {run.state.name for run in runs} == {"Completed"}
    assert {parent for _, parent in places} == {host.process.pid}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_to_end_lets_flow_runs_end_and_leaves_the_rest_to_others(
    start_host: Starts, host: ServingProcess, tmp_path: Path, signum: int
) -> None:
    entered, go_on = str(tmp_path / "in"), str(tmp_path / "on")
    leaving = start_host(1)
    runs = [send(served_flows.where, entered, go_on) for _ in range(6)]
    signals.wait_for(entered, times=2)  # one in each server
    leaving.process.send_signal(signum)
    signals.give(go_on)
    assert leaving.process.wait(SECONDS) == 0
    places = [run.result(timeout=SECONDS) for run in runs]
    assert {parent for _, parent in places} == {host.process.pid, leaving.process.pid}  # type: ignore[misc]
    assert "Traceback" not in leaving.output
