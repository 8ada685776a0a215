"""A fleet with a real worker process, once per module, engine and server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.differences import DIFFERENCES
from tests.support.engines import ROWS, Engine, StartedWorker, celery_over_amqp, celery_over_redis, redis_fleet
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess


@pytest.fixture(scope="session", params=ROWS)
def row(request: pytest.FixtureRequest) -> str:
    """An engine, and what it runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def engine(row: str, request: pytest.FixtureRequest) -> Engine:
    """The row's engine."""
    if row == "celery+amqp":
        return celery_over_amqp(request.getfixturevalue("rabbitmq").url)
    return celery_over_redis() if row == "celery+redis" else redis_fleet()


@pytest.fixture(scope="session")
def server_program(row: str) -> Path:
    """The row's server: each is used by one row of either engine."""
    return program_or_skip("embedded" if row in ("embedded", "celery+redis") else "redis-server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What an engine does otherwise on purpose: listed with its reason, here and in docs/celery.md."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        reason = DIFFERENCES.get((str(callspec.params.get("row")), item.originalname)) if callspec else None  # type: ignore[attr-defined]
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))


def _said(request: pytest.FixtureRequest, name: str, default: Any) -> Any:
    return getattr(request.module, name, default)


@pytest.fixture(scope="module")
def fleet_settings(request: pytest.FixtureRequest, engine: Engine, server: ServerProcess) -> Settings:
    """The settings of the module's fleet; the module may add some: ``SETTINGS = {...}``."""
    return engine.settings(server, f"b-{secrets.token_hex(5)}", **_said(request, "SETTINGS", {}))


@pytest.fixture(scope="module")
def fleet(fleet_settings: Settings) -> Iterator[Fleet]:
    """The fleet of this process, for the length of the module, in a namespace of its own."""
    with fleet_of(fleet_settings) as made:
        yield made


@pytest.fixture(scope="module")
def worker(request: pytest.FixtureRequest, engine: Engine, fleet: Fleet) -> Iterator[StartedWorker]:
    """A worker for the module's ``APP`` with its ``THREADS`` (2)."""
    started = engine.start_worker(fleet.settings, _said(request, "APP", ""), threads=_said(request, "THREADS", 2))
    yield started
    started.retire()
