"""A fleet with a real worker process, and web applications that this process serves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.engines import environment_of
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.site import served
from tests.support.worker_process import WorkerProcess

APPS = ("tests.support.apps.progressing",)
Serve = Callable[[Any], httpx.Client]


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What a user without a server gets; the others are tested below the web."""
    return program_or_skip("embedded")


@pytest.fixture(scope="module")
def fleet(server: ServerProcess) -> Iterator[Fleet]:
    """The fleet of this process, in a namespace of the module's own."""
    namespace = f"w-{secrets.token_hex(5)}"
    settings = Settings(redis_url=server.url, namespace=namespace, secret_key="a key of the tests")
    with fleet_of(settings) as made:
        yield made


@pytest.fixture(scope="module")
def worker(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker with four threads."""
    words = [word for app in APPS for word in ("-A", app)]
    log = tmp_path_factory.mktemp("worker") / "log"
    process = WorkerProcess(log, environment_of(fleet.settings), *words, "-c", "1", "--threads", "4")
    try:
        process.wait_ready(1)
        yield process
    finally:
        process.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(app)`` gives a client of the application, which a thread of this process serves meanwhile."""
    with ExitStack() as stack:

        def start(app: Any) -> httpx.Client:
            url = stack.enter_context(served(app))
            return stack.enter_context(httpx.Client(base_url=url, timeout=40, limits=httpx.Limits(max_connections=200)))

        yield start
