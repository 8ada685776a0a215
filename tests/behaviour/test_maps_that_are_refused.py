"""A map that is refused half-way leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.contract import Status
from brokers.redis.broker import SLICE_CALLS
from orchestrator.errors import QueueFull
from orchestrator.fleet import Fleet, use_fleet
from orchestrator.settings import use
from tests.support.apps import basics
from tests.support.engines import Engine
from tests.support.servers import ServerProcess


@pytest.fixture
def fleet(engine: Engine, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    settings = engine.settings(server, namespace, queue_limit=SLICE_CALLS + 100)
    made = Fleet(settings)
    before = use_fleet(made)
    with use(settings):
        yield made
    use_fleet(before)
    made.close()


def test_a_map_whose_second_slice_is_refused_does_not_run_at_all(fleet: Fleet) -> None:
    with pytest.raises(QueueFull):
        basics.add.map(list(range(2 * SLICE_CALLS)))
    assert fleet.broker.counts() == {(basics.add.task_key, Status.CANCELLED): SLICE_CALLS}
    assert basics.add.delay(1)  # there is room again
