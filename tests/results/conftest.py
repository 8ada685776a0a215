"""A private fleet with a worker in this process, once for each module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.fleet import Fleet
from orchestrator.testing import private_fleet


@pytest.fixture(scope="module")
def large_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of the setting."""
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest, large_results: Path) -> Iterator[Fleet]:
    """The fleet of this module; it may have settings of its own: ``SETTINGS = {...}``."""
    more: dict[str, Any] = getattr(request.module, "SETTINGS", {})
    settings = {"default_result_storage": str(large_results), "max_payload_bytes": 100_000, **more}
    with private_fleet(**settings) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storage."""
    return tmp_path / "results"
