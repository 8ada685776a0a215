"""Fixtures for tests with real workers: this process is the client, on a namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.command_line import Command, command_on
from tests.support.fleets import fleet_of
from tests.support.servers import PROGRAMS, ServerProcess
from tests.support.worker_process import APP, QUICK, StartWorker, WorkerProcess, clean_environment


@pytest.fixture(scope="session", params=PROGRAMS)
def server_program(request: pytest.FixtureRequest) -> Path:
    """Each server. These are engine 1's workers; those of engine 2 are in tests/celery."""
    return program_or_skip(request.param)


@pytest.fixture
def fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    """This process's fleet."""
    settings = Settings(
        redis_url=server.url_for(namespace),
        namespace=namespace,
        lease_seconds=2,
        beat_seconds=0.5,
        command_timeout_seconds=5,
    )
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def command(fleet: Fleet) -> Command:
    """Run ``orchestrator ...`` on this test's fleet."""
    return command_on(fleet)


@pytest.fixture
def worker_environment(server: ServerProcess, namespace: str) -> dict[str, str]:
    """The environment of a process that belongs to this test's fleet."""
    url = server.url_for(namespace)
    return clean_environment(**QUICK, ORCHESTRATOR_REDIS_URL=url, ORCHESTRATOR_NAMESPACE=namespace)


@pytest.fixture
def start_worker(tmp_path: Path, worker_environment: dict[str, str]) -> Iterator[StartWorker]:
    """``start_worker("-c", "2", ready=2)`` starts a worker of the test app and waits for its children."""
    started: list[WorkerProcess] = []

    def start(*options: str, ready: int | None = None, app: str = APP, **environment: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        worker = WorkerProcess(log, {**worker_environment, **environment}, "-A", app, *options)
        started.append(worker)
        if ready is not None:
            worker.wait_ready(ready)
        return worker

    yield start
    with ExitStack() as ends:
        for worker in reversed(started):
            ends.callback(lambda worker=worker: print(f"--- {worker.log.name}\n{worker.output}"))
            ends.callback(worker.close)
