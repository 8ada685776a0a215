"""How full the queues are, and what the live consumers hold: what people look at while a fleet works.

Each is one script, whatever the number of runs; nothing here looks through keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from .broker import RedisBroker

QUEUES_PER_TRIP: Final = 200
RUNS_PER_CONSUMER: Final = 200


class QueueFigures(NamedTuple):
    """What the server knows of a queue; ``None`` where it cannot tell cheaply."""

    name: str
    waiting: int
    held: int
    delayed: int | None
    oldest_seconds: float | None
    paused: bool


class ConsumerFigures(NamedTuple):
    """What the server knows of a live consumer."""

    name: str
    beat_age_seconds: float
    facts: dict[str, str]
    held: int
    running: list[str]


def queue_figures(broker: RedisBroker, further: Sequence[str] = ()) -> list[QueueFigures]:
    """Of every queue that has been used, is paused, or is named here; by name."""
    found: list[QueueFigures] = []
    while True:
        total, rows = broker._run("queues", [len(found), QUEUES_PER_TRIP, list(further)])
        for name, waiting, held, delayed, oldest_ms, paused in rows:
            found.append(
                QueueFigures(
                    name.decode("utf-8", "replace"),
                    max(0, waiting),
                    held,
                    None if delayed < 0 else delayed,
                    None if oldest_ms < 0 else oldest_ms / 1000,
                    bool(paused),
                )
            )
        if len(found) >= total or not rows:
            return found


def consumer_figures(broker: RedisBroker, lease_seconds: float) -> list[ConsumerFigures]:
    """Of every consumer that has been heard of within the lease, by the time of its last beat."""
    rows = broker._run("workers", [int(lease_seconds * 1000), RUNS_PER_CONSUMER])
    return [
        ConsumerFigures(
            name.decode(),
            age_ms / 1000,
            {facts[i].decode(): facts[i + 1].decode("utf-8", "replace") for i in range(0, len(facts), 2)},
            held,
            [run_id.decode() for run_id in running],
        )
        for name, age_ms, facts, held, running in rows
    ]
