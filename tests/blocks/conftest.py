"""Fleets on one private server, each test in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.settings import Settings
from orchestrator.testing.throwaway import temporary_home
from tests.support.command_line import Command, command_on
from tests.support.fleets import fleet_of


@pytest.fixture(scope="session")
def private_home() -> Iterator[Path]:
    """The folder of a private server, which makes its keys by itself."""
    with temporary_home() as home:
        yield home


@pytest.fixture
def fleet(private_home: Path, namespace: str) -> Iterator[Fleet]:
    """The fleet of this test."""
    with fleet_of(Settings(home=private_home, namespace=namespace, command_timeout_seconds=10)) as made:
        yield made


@pytest.fixture
def command(fleet: Fleet) -> Command:
    """Commands on that fleet."""
    return command_on(fleet)
