"""Whoever serves deployments, or works for a pool, may be started before the server: it waits, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from orchestrator.deployments import run_deployment
from orchestrator.flow_runs import wait_for_flow_run
from orchestrator.settings import Settings
from orchestrator.work_pools.editing import create_pool
from tests.conftest import program_or_skip
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.serving_process import ServingProcess

SCRIPT = """
import os
import time
from orchestrator import flow

@flow
def alone(book: str) -> None:
    with open(book, "a") as file:
        file.write("+1\\n")
    time.sleep(0.1)
    with open(book, "a") as file:
        file.write("-1\\n")

alone.serve(name="here", limit=3, global_limit=1)
"""
AWAY = "does not answer"
SERVED = "being served"


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server that is not there yet."""
    process = ServerProcess(program_or_skip("embedded"))
    yield process
    process.close()


@pytest.fixture
def settings(server: ServerProcess, namespace: str) -> Settings:
    return Settings(
        redis_url=server.url, namespace=namespace, lease_seconds=2, beat_seconds=0.4, command_timeout_seconds=2
    )


def test_a_script_that_serves_waits_and_its_global_limit_holds(
    server: ServerProcess, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    serving = ServingProcess(settings, str(tmp_path / "script.py"), cwd=tmp_path)
    try:
        serving.wait_output("; serve() waits for it")
        assert AWAY in serving.output
        assert SERVED not in serving.output
        server.start()
        serving.wait_output(SERVED)
        assert serving.output.count("waits for it") == 1
        book = tmp_path / "book"
        with fleet_of(settings):
            runs = [run_deployment("alone/here", parameters={"book": str(book)}, timeout=0) for _ in range(3)]
            ended = [wait_for_flow_run(run.id, timeout=60) for run in runs]
        assert [run.state is not None and run.state.is_completed() for run in ended] == [True] * 3
        changes = [int(line) for line in book.read_text().splitlines()]
        assert max(accumulate(changes)) == 1, "three places here, but one for this deployment everywhere"
        assert serving.stop() == 0
    finally:
        serving.close()


def test_a_worker_of_a_pool_waits(server: ServerProcess, settings: Settings) -> None:
    working = ServingProcess(
        settings, "-m", "task_workers.cli", "worker", "start", "--pool", "mine", "--type", "process"
    )
    try:
        working.wait_output("the worker waits for it")
        server.start()
        working.wait_output("Created work pool 'mine'.")
        working.wait_output("Worker ")
        with fleet_of(settings) as fleet, pytest.raises(Exception, match="already exists"):
            create_pool(fleet, "mine", "process")
    finally:
        working.close()
