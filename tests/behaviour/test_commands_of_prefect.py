"""Command lines that the pages of Prefect teach, with our word in front, on a store that holds one object."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import variables
from orchestrator.artifacts import create_markdown_artifact, create_table_artifact
from orchestrator.blocks.system import Secret
from orchestrator.client.fleet import Fleet
from orchestrator.deployments import run_deployment
from orchestrator.settings import Settings
from orchestrator.work_pools.editing import create_pool
from tests.support.apps import deployed_flows
from tests.support.command_line import Command, command_on, on_a_terminal
from tests.support.engines import Engine, environment_of
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.serving_process import ServingProcess
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("row", ["embedded"], indirect=True)  # what it says does not depend on the engine
COMMANDS = """
config view --show-defaults
config set ORCHESTRATOR_API_URL=http://127.0.0.1:4200/api
config set PREFECT_RESULTS_PERSIST_BY_DEFAULT=true
profile inspect
deployment run tracker/my-deployment
deployment ls
deployment inspect tracker/my-deployment
flow-run ls
work-pool create another-pool --type process
work-pool ls
block ls
block inspect secret/api-key
block type ls
block type inspect secret
block register -m orchestrator.blocks.notifications
block register -m prefect.blocks.notifications
artifact ls
artifact inspect daily-report
artifact delete customer-list
variable set another 1
variable ls
variable get answer
variable inspect answer
variable unset answer
"""
GONE = """
deployment inspect tracker/gone
deployment run tracker/gone
work-pool inspect gone
block inspect secret/gone
block delete secret/gone
block type inspect gone
artifact inspect gone
artifact delete gone
variable get gone
variable inspect gone
variable unset gone
profile inspect gone
"""


@pytest.fixture
def stocked(engine: Engine, server: ServerProcess) -> Iterator[Fleet]:
    """A fleet of this test alone, with an object of each kind."""
    settings: Settings = engine.settings(server, f"p-{secrets.token_hex(5)}", encryption_key="k" * 32)
    with fleet_of(settings) as fleet:
        create_pool(fleet, "my-pool", "process")
        deployed_flows.tracker.to_deployment("my-deployment", parameters={"city": "Oslo"}).apply()
        run_deployment("tracker/my-deployment", timeout=0)
        create_markdown_artifact("# All is well", key="daily-report")
        create_table_artifact([{"id": 1, "name": "Acme"}], key="customer-list")
        Secret(value="my-api-key").save("api-key")
        variables.write(fleet, "answer", 42)
        yield fleet


@pytest.fixture
def command(stocked: Fleet) -> Command:
    return command_on(stocked)


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_the_command_does_what_it_says(command: Command, line: str, tmp_path: Path) -> None:
    done = command(*line.split(), ORCHESTRATOR_PROFILES_PATH=str(tmp_path / "profiles.toml"))
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "my-api-key" not in done.stdout


@pytest.mark.parametrize("line", GONE.strip().splitlines())
def test_what_is_not_there_is_one_line_and_exit_code_1(command: Command, line: str, tmp_path: Path) -> None:
    done = command(*line.split(), ORCHESTRATOR_PROFILES_PATH=str(tmp_path / "profiles.toml"))
    assert done.returncode == 1, line
    assert "gone" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_cancel_alone_shows_what_has_not_ended_and_asks(stocked: Fleet) -> None:
    assert "is being cancelled" in on_a_terminal(environment_of(stocked.settings), "flow-run", "cancel", typed="1\n")


def test_a_server_ends_with_0_also_by_a_signal_that_comes_as_soon_as_it_has_said_where_it_is(stocked: Fleet) -> None:
    process = ServingProcess(stocked.settings, "-m", "orchestrator", "server", "start", "--port", "0")
    try:
        process.wait_output("http://")
        assert process.stop() == 0, process.output
    finally:
        process.close()


def test_a_worker_of_the_pool_ends_with_0(stocked: Fleet, command: Command) -> None:
    process = ServingProcess(stocked.settings, "-m", "orchestrator", "worker", "start", "--pool", "my-pool")
    try:
        wait_until(lambda: "READY" in command("work-pool", "ls").stdout.replace("NOT_READY", ""), 60, "READY")
        assert process.stop() == 0, process.output
    finally:
        process.close()
