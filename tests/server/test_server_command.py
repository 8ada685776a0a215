"""``orchestrator server start`` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from orchestrator.deployments.flow_run_value import read_flow_run
from orchestrator.deployments.lookup import find_deployment
from orchestrator.deployments.schedules import owner_of
from orchestrator.errors import ConfigurationError
from orchestrator.schedules import Interval
from orchestrator.scheduling import edit
from orchestrator.settings import Settings
from task_workers.cli.server import command
from tests.support.apps import deployed_flows
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess, dying_with_us
from tests.support.waiting import wait_until

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(server: ServerProcess, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Run the command with options and variables."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str, **variables: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        told = {"ORCHESTRATOR_REDIS_URL": server.url, "ORCHESTRATOR_NAMESPACE": namespace, **variables}
        words = [sys.executable, "-P", "-m", "task_workers.cli", "server", "start", *options]
        process = subprocess.Popen(
            dying_with_us(words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**kept, **told, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    """Where it says that it is."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "the dashboard is at " in line, line + (process.stdout.read() if process.poll() is not None else "")
    return line.split("the dashboard is at ", 1)[1].split("  ")[0]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_it_says_where_it_is_answers_and_leaves_in_peace(start: Start) -> None:
    process = start("--port", "0", "--root-path", "/fleet")
    url = address_of(process)
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/fleet/")
    wait_until(lambda: answers(url + "api/ready"), 20)
    assert httpx.get(url + "api/version").json()["read_only"] is False
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in output


def test_options_are_variables_and_the_token_is_asked_for(start: Start) -> None:
    process = start(
        ORCHESTRATOR_SERVER_PORT="0",
        ORCHESTRATOR_SERVER_HOST="0.0.0.0",
        ORCHESTRATOR_SERVER_TOKEN="a-token",
        ORCHESTRATOR_SERVER_READ_ONLY="1",
        ORCHESTRATOR_SERVER_LOGLEVEL="info",
    )
    url = address_of(process).replace("0.0.0.0", "127.0.0.1")
    wait_until(lambda: answers(url + "api/ready"), 20)
    assert httpx.get(url + "api/version").status_code == 401
    headers = {"Authorization": "Bearer a-token"}
    assert httpx.get(url + "api/version", headers=headers).json()["read_only"] is True
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert "GET /api/version" in output
    assert "a-token" not in output


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_does_not_listen_elsewhere_without_token_or_password(start: Start, host: str) -> None:
    process = start("--port", "0", "--host", host)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert host in output
    assert "ORCHESTRATOR_SERVER_TOKEN" in output
    assert "--allow-open" in output
    assert "Traceback" not in output


def test_open_to_all_when_told_so(start: Start) -> None:
    url = address_of(start("--port", "0", "--host", "0.0.0.0", "--allow-open")).replace("0.0.0.0", "127.0.0.1")
    wait_until(lambda: answers(url + "api/ready"), 20)
    assert httpx.get(url + "api/version", headers={"Host": "shop.example"}).status_code == 200


@pytest.mark.parametrize("name", ["starlette", "uvicorn", "jinja2"])
def test_without_the_extra_it_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]  # as if it were not there
    with pytest.raises(ConfigurationError, match=rf"needs {name}: pip install 'orchestrator\[web\]'"):
        command.main(["start"], standalone_mode=False)


def test_a_port_that_is_taken_is_one_clear_line(start: Start) -> None:
    port = address_of(start("--port", "0")).rsplit(":", 1)[1].strip("/")
    process = start("--port", port)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in output
    assert "--port" in output
    assert "Traceback" not in output


def test_a_schedule_of_a_deployment_makes_its_run_while_only_the_server_is_up(
    start: Start, server: ServerProcess, namespace: str
) -> None:
    start("--port", "0")
    with fleet_of(Settings(redis_url=server.url, namespace=namespace)) as fleet:
        deployed_flows.tracker.to_deployment("nightly", schedules=[Interval(3600)]).apply()
        record = find_deployment(fleet.broker, "tracker/nightly")
        (schedule,) = edit.of_owner(fleet, owner_of(record.id))
        tick = schedule.due_ms - 3_600_000
        fleet.broker.schedules.write(schedule.id, {}, due_ms=tick)

        def made() -> list[str]:
            fleet.broker.documents.touch("deployment", [record.id], "st")  # as whoever serves it would
            return fleet.broker.flow_runs.listed(record.id)[1]

        wait_until(made, 60, "the run of its tick")
        run = read_flow_run(fleet, made()[0])
        assert run.deployment_name == "tracker/nightly"
        assert run.expected_start_time == datetime.fromtimestamp(tick / 1000, UTC)
