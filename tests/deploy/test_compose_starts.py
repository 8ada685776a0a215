"""The command line of every service of ``compose.yaml``, started for real: other ports and addresses, else as written.

What is not installed here (Prometheus, Grafana) is checked on paper only, see ``test_compose.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.conftest import program_or_skip
from tests.deploy.reading import ROOT, compose, filled_in, option
from tests.support.rabbitmq import RabbitMQ
from tests.support.scraping import asked, probed, samples_of, scraped, value_of
from tests.support.servers import ServerProcess, free_port
from tests.support.waiting import wait_until
from tests.support.worker_process import clean_environment

pytestmark = [pytest.mark.behaviour, pytest.mark.needs_server]
SERVICES = compose()["services"]
TOKEN = "a-token-for-the-tests"


class Service:
    """One service of the file, as a process on this machine.

    Args:
        name: which.
        folder: for its output.
        store: instead of the host ``redis``.
        changes: words of its command line and of its environment that are something else here.
    """

    def __init__(self, name: str, folder: Path, store: str, **changes: str) -> None:
        self._facts = SERVICES[name]
        self.changes = {"redis://redis:6379/0": store, "0.0.0.0": "127.0.0.1", **changes}
        variables = {"ORCHESTRATOR_SERVER_TOKEN": TOKEN}
        told = {key: self._here(filled_in(value, variables)) for key, value in self._facts["environment"].items()}
        self.environment = clean_environment(**told, ORCHESTRATOR_WORKER_NAME=name)
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._program([self._here(word) for word in self._facts["command"]]),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _here(self, word: str) -> str:
        for before, after in self.changes.items():
            word = word.replace(before, after)
        return word

    def _program(self, command: list[str]) -> list[str]:
        if command[0] == "python":
            return [sys.executable, *command[1:]]
        assert command[0] in ("orchestrator", "uvicorn")
        return [sys.executable, "-m", *command]

    def is_healthy(self) -> bool:
        """Whether its health check says so."""
        assert self.process.poll() is None, self.log.read_text()
        command = [self._here(word) for word in self._facts["healthcheck"]["test"][1:]]
        done = subprocess.run(self._program(command), cwd=ROOT, env=self.environment, capture_output=True, timeout=60)
        return done.returncode == 0

    def stop(self) -> int:
        """SIGTERM, and what it exits with within its grace period."""
        self.process.send_signal(signal.SIGTERM)
        grace = self._facts.get("stop_grace_period", "10s")
        return self.process.wait(int(grace.removesuffix("s")) + 10)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        print(f"--- {self.log.name}\n{self.log.read_text()}")


Start = Callable[..., Service]


@pytest.fixture(scope="session")
def server_program() -> Path:
    return program_or_skip("redis-server")


@pytest.fixture
def store(own_server: Callable[..., ServerProcess]) -> str:
    """The address of a store of this test's own."""
    return own_server(tcp=True).tcp_url + "/0"


@pytest.fixture
def start(store: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Service] = []

    def begin(name: str, **changes: str) -> Service:
        started.append(Service(name, tmp_path, store, **changes))
        return started[-1]

    yield begin
    for service in started:
        service.close()


def posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        read: dict[str, Any] = json.load(answer)
        return read


def answers(url: str) -> bool:
    try:
        return asked(url)[0] == 200
    except OSError:
        return False


def test_redis_starts_and_does_what_its_flags_say(tmp_path: Path) -> None:
    command = SERVICES["redis"]["command"]
    program = shutil.which(command[0]) or pytest.skip("no redis-server on this machine")
    socket = f"/tmp/orc-compose-{os.getpid()}.sock"
    more = ["--port", "0", "--unixsocket", socket, "--dir", str(tmp_path)]
    process = subprocess.Popen([program, *command[1:], *more], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(unix_socket_path=socket) as client:
            wait_until(lambda: Path(socket).exists() and client.ping(), 20)
            assert client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save") == {
                "maxmemory": str(1 << 30),
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "save": "",
            }
    finally:
        process.kill()
        process.wait(10)
        Path(socket).unlink(missing_ok=True)


def test_what_the_web_service_is_asked_for_the_worker_does_and_the_dashboard_shows(start: Start, store: str) -> None:
    ports = [str(free_port()) for _ in range(3)]
    web = start("web", **{"8000": ports[0]})
    worker = start("worker", **{"9808": ports[1]})
    dashboard = start("dashboard", **{"4200": ports[2]})
    pages = [f"http://127.0.0.1:{port}" for port in ports]
    wait_until(lambda: answers(pages[1] + "/ready"), 60, "the worker is ready")
    wait_until(lambda: answers(pages[0] + "/"), 60, "the example answers")
    wait_until(lambda: answers(pages[2] + "/api/ready"), 60, "the dashboard answers")
    accepted = posted(pages[0] + "/reports", {"customer": "ann", "pages": 3})
    run = str(accepted["id"])
    status, ended = probed(f"{pages[0]}/tasks/{run}?wait=30")
    assert (status, ended["ended"]) == (200, True), ended
    assert ended["result"] == "3 pages for ann"
    assert worker.is_healthy()
    assert web.is_healthy()
    assert dashboard.is_healthy()
    assert value_of(scraped(pages[1] + "/metrics"), "orchestrator_worker_up") == 1
    check_dashboard(pages[2], run)
    assert worker.stop() == 0
    assert not worker.process.poll()
    assert dashboard.stop() in (0, -signal.SIGTERM)
    assert web.stop() in (0, -signal.SIGTERM)


def check_dashboard(url: str, run: str) -> None:
    """It shows the run and the figures to whoever has the token, and to nobody else."""
    for path in ("/metrics", f"/runs/{run}"):
        with urllib.request.urlopen(urllib.request.Request(url + path), timeout=20) as answer:
            assert "/login" in answer.url
        request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200
            text = answer.read().decode()
        if path == "/metrics":
            found = samples_of(text)
            assert value_of(found, "orchestrator_store_up") == 1
            assert value_of(found, "orchestrator_fleet_submitted_total", queue="default") == 1


def test_a_celery_worker_runs_what_is_sent_over_rabbitmq(start: Start, rabbitmq: RabbitMQ, namespace: str) -> None:
    address = f"celery+{rabbitmq.url}"
    worker = start("celery-worker", **{"celery+amqp://guest:guest@rabbitmq:5672//": address})
    wait_until(worker.is_healthy, 90, "it is healthy")
    command = [sys.executable, "-m", "orchestrator", "task", "submit", "tasks.make_report"]
    arguments = ["--args", '["ann", 2]', "-A", "examples/web/tasks.py"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=worker.environment, capture_output=True, text=True, timeout=60
    )
    assert "2 pages for ann" in done.stdout, done.stderr
    assert option(SERVICES["celery-worker"]["command"], "--app") == "examples/web/tasks.py"
    assert worker.stop() == 0
