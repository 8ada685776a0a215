"""What is read for a page: of a worker by its supervisor, of the fleet from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from brokers.messages import Status
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.inspection.queues import QueueView, queues_of
from orchestrator.observability.metrics.cells import Figures

STATES: Final = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.CRASHED: "crashed",
    Status.NOT_READY: "not_ready",
}


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one lane: how many are taken, and how many there are."""

    busy: int
    count: int


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """One worker, all its children together."""

    name: str
    version: str
    figures: Figures
    places: dict[str, Places]  # by lane: "sync", "async"
    children: int
    ready: int  # of them
    deaths: int  # of children that had no order to end
    started_at: float  # unix seconds


@dataclass(slots=True)
class FleetReading:
    """The figures from the store. Empty when it does not answer."""

    up: bool = False
    queues: list[QueueView] = field(default_factory=list)
    ended: dict[tuple[str, str], int] = field(default_factory=dict)  # task and state
    submitted: dict[tuple[str, str], int] = field(default_factory=dict)  # task and queue
    dead: int = 0
    consumers: int = 0  # processes that run calls


def read_fleet(fleet: Fleet) -> FleetReading:
    """Ask the store; a handful of commands, however many calls there are. Never raises for a store that is away."""
    reading = FleetReading()
    try:
        _read(fleet, reading)
    except BrokerError:
        return FleetReading()
    reading.up = True
    return reading


def _read(fleet: Fleet, reading: FleetReading) -> None:
    broker = fleet.broker
    for (task, status), count in broker.figures.ended().items():
        reading.ended[(task, STATES.get(status, "other"))] = count
    reading.submitted = broker.figures.submitted()
    reading.dead = broker.dead_letters.count()
    live = fleet.live_workers()
    reading.consumers = sum("tasks" in facts for facts in live.values())
    reading.queues = queues_of(fleet, live)
