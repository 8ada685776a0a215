"""A fleet on a server of the tests, and its app behind a real HTTP server on a free port."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from orchestrator.client.fleet import Fleet
from orchestrator.server import make_app
from orchestrator.server.index import RunIndex
from orchestrator.server.queries import Queries
from tests.conftest import program_or_skip
from tests.support.ends import all_of
from tests.support.engines import StartedWorker, redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until
from tests.support.work import Work


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What users without a server get; what the pages need of one is the same on all."""
    return program_or_skip("embedded")


@pytest.fixture(scope="module")
def fleet(server: ServerProcess) -> Iterator[Fleet]:
    """The fleet of this process, for the length of the module."""
    settings = redis_fleet().settings(server, f"s-{secrets.token_hex(5)}", command_timeout_seconds=10)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture(scope="module")
def worker(fleet: Fleet) -> Iterator[StartedWorker]:
    """A light worker for the tasks of ``basics``."""
    started = redis_fleet().start_worker(fleet.settings, "tests.support.apps.basics", "tests.support.apps.nesting")
    yield started
    started.stop()


@pytest.fixture
def own_fleet(server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    """A fleet for this test alone, in which nothing has happened and nobody works."""
    settings = redis_fleet().settings(server, namespace, command_timeout_seconds=10)
    with fleet_of(settings) as made:
        yield made


@pytest.fixture
def work(own_fleet: Fleet) -> Work:
    """Calls of that fleet, submitted and ended as a test wishes."""
    return Work(own_fleet)


@pytest.fixture
def index(own_fleet: Fleet) -> Iterator[RunIndex]:
    """An index that follows it."""
    made = RunIndex(own_fleet)
    made.start()
    yield made
    made.stop()


def caught_up(index: RunIndex) -> RunIndex:
    """The index, once it has read everything that is in the journal now and what it was told to look at."""

    def has() -> bool:
        feed = index._feed
        if feed is None or feed.has_lists_to_read or feed.rechecking:
            return False
        return feed.complete and feed.position == feed.journal.newest()

    wait_until(has, 30, "the index has read everything")
    assert index.state().error is None
    return index


class Site:
    """An app, served on a free port of this machine until it is closed."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio wants it named
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive(), 20, "the server's start")

    @property
    def queries(self) -> Queries:
        """What the app asks."""
        queries: Queries = self.app.state.queries
        return queries

    def client(self, **more: Any) -> httpx.Client:
        """A client; what it sends as headers can be given."""
        return httpx.Client(base_url=self.url, timeout=30, **more)

    def close(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(20)
        self.socket.close()


@pytest.fixture(scope="module")
def open_site(fleet: Fleet) -> Iterator[Callable[..., Site]]:
    """Serve the app of the module's fleet, with options."""
    sites: list[Site] = []

    def start(**options: Any) -> Site:
        sites.append(Site(make_app(fleet, **options)))
        return sites[-1]

    yield start
    all_of(site.close for site in sites)


@pytest.fixture(scope="module")
def site(open_site: Callable[..., Site]) -> Site:
    """The app without a token: open to this machine."""
    return open_site()
