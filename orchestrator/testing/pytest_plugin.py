"""Fixtures for pytest. In a ``conftest.py``: ``pytest_plugins = ["orchestrator.testing.pytest_plugin"]``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.testing.inline_fleet import InlineFleet
from orchestrator.testing.inlining import inline
from orchestrator.testing.private import private_fleet
from orchestrator.testing.throwaway import temporary_home


@pytest.fixture(scope="session")
def orchestrator_home() -> Iterator[Path]:
    """The folder of a private server that lives as long as this pytest process (with xdist: one per worker)."""
    with temporary_home() as home:
        yield home


@pytest.fixture
def orchestrator_fleet(orchestrator_home: Path) -> Iterator[Fleet]:
    """Everything that the test submits runs in this process, over a real server, in a namespace of the test's own."""
    with private_fleet(home=orchestrator_home, namespace=f"test-{secrets.token_hex(8)}") as fleet:
        yield fleet


@pytest.fixture
def orchestrator_inline() -> Iterator[InlineFleet]:
    """No server: everything that the test submits runs at once, where it is submitted."""
    with inline() as fleet:
        yield fleet
