"""on_crashed and on_cancellation of flow runs whose own process was killed are called in another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.futures import PrefectFuture
from orchestrator.inspection.run_walk import walk_runs
from tests.support import signals
from tests.support.apps import killed_flows
from tests.support.engines import Engine, StartedWorker
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

SETTINGS = {"lease_seconds": 2.5, "beat_seconds": 0.4, "kill_grace_seconds": 0.3, "max_deliveries": 2}
SECONDS = 40.0


def said(file: Path) -> list[str]:
    """What the hook has written, as soon as it has: hook, process, flow, run, state and its type, runs, parameters."""
    wait_until(lambda: signals.count(str(file)) > 0, SECONDS, "the hook")
    return file.read_text().splitlines()


@pytest.fixture
def serving(fleet: Fleet) -> Iterator[ServingProcess]:
    process = ServingProcess(fleet.settings, "-m", killed_flows.__name__)
    process.wait_output("being served")
    yield process
    process.close()


@pytest.mark.smoke
@pytest.mark.usefixtures("serving")
def test_hooks_of_a_served_flow_that_killed_its_process_too_often(fleet: Fleet, tmp_path: Path) -> None:
    file, pids = tmp_path / "hooks", tmp_path / "pids"
    parameters = {"said": str(file), "pids": str(pids)}
    run = run_deployment("kills-itself/served", parameters=parameters, timeout=SECONDS)
    assert run.state is not None
    assert run.state.is_crashed()
    (line,) = said(file)
    hook, process, *rest = line.split()
    assert (hook, rest) == ("crashed", ["kills-itself", str(run.id), "Crashed", "CRASHED", "2", str(run.id)])
    assert process not in {*pids.read_text().split(), str(os.getpid())}
    assert fleet.broker.dead_letters.newest() == [str(run.id)]
    wait_until(lambda: not fleet.broker.deliveries.killed(), SECONDS, "nothing left to be sent for")
    assert not walk_runs(fleet).runs  # neither the call of the flow nor that of its hooks is a task run


@pytest.mark.usefixtures("serving")
def test_hooks_of_a_served_flow_that_was_killed_since_it_did_not_obey(tmp_path: Path) -> None:
    file, entered = tmp_path / "hooks", tmp_path / "in"
    run = run_deployment("does-not-listen/served", parameters={"said": str(file), "entered": str(entered)}, timeout=0)
    signals.wait_for(str(entered))
    future: PrefectFuture[None] = PrefectFuture(str(run.id))
    future.cancel()
    (line,) = said(file)
    assert line.split()[2:] == ["does-not-listen", str(run.id), "Cancelled", "CANCELLED", "1", str(run.id)]
    assert future.state.is_cancelled()


@pytest.mark.smoke
def test_hooks_of_a_flow_that_was_sent_to_a_worker_and_killed_it_too_often(
    engine: Engine, fleet: Fleet, tmp_path: Path
) -> None:
    started: list[StartedWorker] = []

    def has_worker() -> bool:
        """A light worker ends with its call, a Celery worker's child does."""
        if not started or started[-1].process.poll() is not None:
            started.append(engine.start_worker(fleet.settings, killed_flows.__name__))
        return file.exists()

    try:
        file, pids = tmp_path / "hooks", tmp_path / "pids"
        future = killed_flows.kills_itself.delay(str(file), str(pids))
        wait_until(has_worker, SECONDS, "the hook")
        (line,) = said(file)
        assert line.split()[2:] == ["kills-itself", future.run_id, "Crashed", "CRASHED", "2", future.run_id]
    finally:
        for worker in started:
            worker.retire()
