"""A fleet with a real worker process, once per module, engine and server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.fleet import Fleet, use_fleet
from orchestrator.settings import Settings, use
from tests.support.engines import ENGINES, Engine, Worker
from tests.support.servers import ServerProcess


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine."""
    return ENGINES[request.param]


def _said(request: pytest.FixtureRequest, name: str, default: Any) -> Any:
    return getattr(request.module, name, default)


@pytest.fixture(scope="module")
def fleet_settings(request: pytest.FixtureRequest, engine: Engine, server: ServerProcess) -> Settings:
    """The settings of the module's fleet; the module may add some: ``SETTINGS = {...}``."""
    return engine.settings(server, f"b-{secrets.token_hex(5)}", **_said(request, "SETTINGS", {}))


@pytest.fixture(scope="module")
def fleet(fleet_settings: Settings) -> Iterator[Fleet]:
    """The fleet of this process, for the length of the module, in a namespace of its own."""
    made = Fleet(fleet_settings)
    before = use_fleet(made)
    with use(fleet_settings):
        yield made
    use_fleet(before)
    made.close()


@pytest.fixture(scope="module")
def worker(request: pytest.FixtureRequest, engine: Engine, fleet: Fleet) -> Iterator[Worker]:
    """A worker for the module's ``APP`` with its ``THREADS`` (2)."""
    started = engine.start_worker(fleet.settings, _said(request, "APP", ""), threads=_said(request, "THREADS", 2))
    yield started
    started.stop()
