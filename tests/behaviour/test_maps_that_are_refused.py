"""A map that is refused half-way leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.messages import Status
from brokers.records import CALLS_AT_ONCE
from brokers.redis.runs import CALLS_IN_BLOCKS
from orchestrator.client.fleet import Fleet
from orchestrator.errors import QueueFull
from tests.support.apps import basics
from tests.support.engines import Engine
from tests.support.fleets import fleet_of
from tests.support.servers import ServerProcess


@pytest.fixture
def fleet(engine: Engine, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    settings = engine.settings(server, namespace, queue_limit=CALLS_IN_BLOCKS + 100)
    with fleet_of(settings) as made:
        yield made


@pytest.mark.smoke
def test_a_map_whose_second_slice_is_refused_does_not_run_at_all(fleet: Fleet) -> None:
    with pytest.raises(QueueFull):
        basics.add.map(list(range(2 * CALLS_IN_BLOCKS)))
    taken = (
        CALLS_IN_BLOCKS if fleet.broker.runs.keeps_blocks else (CALLS_IN_BLOCKS + 100) // CALLS_AT_ONCE * CALLS_AT_ONCE
    )
    assert fleet.broker.figures.ended() == {(basics.add.task_key, Status.CANCELLED): taken}
    assert basics.add.delay(1)  # there is room again
