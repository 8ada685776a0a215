"""Engine 2 over either broker, with real Celery workers started as an operator would start them."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from tests.conftest import program_or_skip
from tests.support.celery_engine import CeleryWorker
from tests.support.command_line import command_on
from tests.support.ends import all_of
from tests.support.engines import ROOT, Engine, celery_over_amqp, celery_over_redis, environment_of
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess

APP = "tests.support.app_for_workers"
QUICK = {"lease_seconds": 3.0, "beat_seconds": 0.5, "kill_grace_seconds": 0.5}
StartCelery = Callable[..., CeleryWorker]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", params=["celery+redis", "celery+amqp"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "celery+amqp":
        return celery_over_amqp(request.getfixturevalue("rabbitmq").url)
    return celery_over_redis()


@pytest.fixture(scope="session")
def server_program() -> Path:
    return program_or_skip("embedded")


@pytest.fixture
def fleet(engine: Engine, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    settings = engine.settings(server, namespace, **QUICK)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def start_celery(fleet: Fleet) -> Iterator[StartCelery]:
    """``celery -A ... worker`` with these options; it is called ``worker.node``."""
    started: list[CeleryWorker] = []

    def start(
        *options: str, apps: str = APP, queues: str = "default", application: str = "task_workers.celery"
    ) -> CeleryWorker:
        node = f"w{secrets.token_hex(4)}@test"
        environment = {
            **environment_of(fleet.settings),
            "ORCHESTRATOR_WORKER_APP": apps,
            "ORCHESTRATOR_WORKER_QUEUES": queues,
        }
        worker = CeleryWorker(["-n", node, "-l", "info", *options], environment, str(ROOT), app=application)
        worker.node = node
        started.append(worker)
        return worker

    yield start
    all_of(worker.retire for worker in started)


@pytest.fixture
def run(fleet: Fleet) -> Run:
    """A command (``celery ...`` or ``orchestrator ...``) with this fleet's settings; ours run in this process."""

    def run_one(program: str, *arguments: str, application: str = "task_workers.celery") -> object:
        if program == "orchestrator":
            return command_on(fleet)(*arguments)
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", application, *arguments],
            env=environment_of(fleet.settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run_one  # type: ignore[return-value]
