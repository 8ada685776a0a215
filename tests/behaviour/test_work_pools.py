"""Work pools: deployments name one, and its workers run them, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.deployments.lookup import find_deployment
from tests.support.command_line import Command, command_on
from tests.support.ends import all_of
from tests.support.engines import environment_of
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # how a run reaches a child: test_flow_host
SETTINGS = {"lease_seconds": 2, "beat_seconds": 0.4, "kill_grace_seconds": 0.5}
SECONDS = 40
FLOWS = """
import os, signal, sys, time
from pathlib import Path
import rules
from orchestrator import flow, runtime

@flow
def where(): return [os.environ.get("SHOP"), os.getcwd(), rules.NAME, os.getpid()]

@flow
def dies_once():
    mark = Path("died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"

@flow
def waits():
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.05)
    return os.getpid()

if __name__ == "__main__":
    of_a_variable = {"env": {"SHOP": "{{ prefect.variables.shop }} shop"}}
    where.deploy("here", work_pool_name=sys.argv[1], print_next_steps=False, job_variables=of_a_variable)
    for each in (dies_once, waits):
        each.deploy("here", work_pool_name=sys.argv[1], print_next_steps=False)
"""
Starts = Callable[..., ServingProcess]


@pytest.fixture
def command(fleet: Fleet) -> Command:
    return command_on(fleet)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with flows that import their neighbour."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "rules.py").write_text("NAME = 'rules'\n")
    (folder / "flows.py").write_text(FLOWS)
    return folder


def deploy(fleet: Fleet, shop: Path, pool: str) -> None:
    subprocess.run(
        [sys.executable, "flows.py", pool], cwd=shop, env=environment_of(fleet.settings), check=True, timeout=SECONDS
    )


@pytest.fixture
def starts(fleet: Fleet, tmp_path: Path) -> Iterator[Starts]:
    """Starts a worker of a pool, in another folder than that of the flows."""
    started: list[ServingProcess] = []

    def start(*words: str) -> ServingProcess:
        arguments = ("-m", "orchestrator", "worker", "start", *words)
        started.append(ServingProcess(fleet.settings, *arguments, cwd=tmp_path))
        return started[-1]

    yield start
    all_of(process.close for process in started)


def status_of(fleet: Fleet, run_id: str) -> bytes:
    (record,) = fleet.broker.records.read([run_id])
    return record.status


def pools(command: Command) -> dict[str, Any]:
    return {pool["name"]: pool for pool in json.loads(command("work-pool", "ls", "-o", "json").stdout)}


@pytest.mark.smoke
def test_a_deployed_flow_runs_on_a_worker_of_its_pool(
    command: Command, fleet: Fleet, shop: Path, starts: Starts
) -> None:
    assert command("work-pool", "create", "my-pool", "--type", "process").returncode == 0
    assert command("variable", "set", "shop", "tea").returncode == 0
    deploy(fleet, shop, "my-pool")
    runs = [run_deployment(f"{name}/here", timeout=0) for name in ("where", "dies-once")]
    assert pools(command)["my-pool"]["status"] == "NOT_READY"
    worker = starts("--pool", "my-pool", "--run-once", "--limit", "1")
    assert worker.process.wait(SECONDS) == 0, worker.output
    where, died = [read_flow_run(fleet, str(run.id)) for run in runs]
    assert where.state is not None
    assert where.state.result()[:3] == ["tea shop", str(shop), "rules"]
    assert died.state is not None
    assert died.state.result() == "survived"
    assert died.run_count == 2
    assert find_deployment(fleet.broker, "where/here").polled_at_ms > 0


def test_a_pool_is_ready_while_a_worker_lives_and_a_run_of_one_that_is_killed_goes_to_another(
    command: Command, fleet: Fleet, shop: Path, starts: Starts
) -> None:
    refused = starts("--pool", "young")
    assert refused.process.wait(SECONDS) == 1
    assert "orchestrator work-pool create young --type process" in refused.output
    first = starts("--pool", "young", "--type", "process", "--limit", "1")  # makes the pool
    wait_until(lambda: "young" in pools(command) and pools(command)["young"]["status"] == "READY", SECONDS, "READY")
    deploy(fleet, shop, "young")
    run = run_deployment("waits/here", timeout=0)
    wait_until((shop / "begun").exists, SECONDS, "its beginning")
    # A crash is charged once the store knows that the call has begun, which calls of some milliseconds never say.
    wait_until(lambda: status_of(fleet, str(run.id)) == Status.RUNNING, SECONDS, "the note that it runs")
    first.kill()
    wait_until(lambda: pools(command)["young"]["status"] == "NOT_READY", SECONDS, "NOT_READY")
    second = starts("--pool", "young", "--limit", "1")
    wait_until(lambda: pools(command)["young"]["status"] == "READY", SECONDS, "READY again")
    (shop / "go").touch()
    wait_until(lambda: read_flow_run(fleet, str(run.id)).state_name == "Completed", SECONDS, "its end")
    assert read_flow_run(fleet, str(run.id)).run_count == 2
    assert second.stop() == 0


def test_a_paused_pool_hands_out_nothing_and_a_limit_holds_for_all_its_workers(
    command: Command, fleet: Fleet, shop: Path, starts: Starts
) -> None:
    command("work-pool", "create", "still", "--paused")
    assert command("work-queue", "create", "urgent", "--pool", "still", "--priority", "1").returncode == 0
    deploy(fleet, shop, "still")
    run = run_deployment("where/here", timeout=0, work_queue_name="urgent")
    starts("--pool", "still", "--limit", "2")
    wait_until(lambda: pools(command)["still"]["queues"][1]["name"] == "urgent", SECONDS, "the queue")
    assert pools(command)["still"]["status"] == "PAUSED"
    command("work-pool", "set-concurrency-limit", "still", "0")
    assert command("work-pool", "resume", "still").stdout == "still goes on\n"
    wait_until(lambda: read_flow_run(fleet, str(run.id)).state_name == "AwaitingConcurrencySlot", SECONDS, "it waits")
    command("work-pool", "clear-concurrency-limit", "still")
    wait_until(lambda: read_flow_run(fleet, str(run.id)).state_name == "Completed", SECONDS, "it runs")
