"""A real worker of the test app on a server of the distribution, whose user has the least rights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.behaviour.workers.conftest import fleet, start_worker, worker_environment
from tests.conftest import program_or_skip

__all__ = ["fleet", "start_worker", "worker_environment"]


@pytest.fixture(scope="session")
def server_program() -> Path:
    """What is counted does not depend on the server; its strictest operator is enough."""
    return program_or_skip("redis-server")
