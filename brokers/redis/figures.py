"""How full the queues are, what the live consumers hold, how many runs there were.

Each is one script or command, whatever the number of runs; nothing here looks through keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.records import ConsumerFigures, QueueFigures
from brokers.stored import text, whole

from .store import RedisStore

QUEUES_PER_TRIP: Final = 200
RUNS_PER_CONSUMER: Final = 200


class RedisFigures:
    """See :class:`brokers.base.Figures`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def queues(self, further: Sequence[str] = ()) -> list[QueueFigures]:
        found: list[QueueFigures] = []
        while True:
            total, rows = self._store.run("queues", [len(found), QUEUES_PER_TRIP, list(further)])
            for name, waiting, held, delayed, oldest_ms, paused in rows:
                found.append(
                    QueueFigures(
                        text(name),
                        max(0, waiting),
                        held,
                        None if delayed < 0 else delayed,
                        None if oldest_ms < 0 else oldest_ms / 1000,
                        bool(paused),
                    )
                )
            if len(found) >= total or not rows:
                return found

    def consumers(self, lease_seconds: float) -> list[ConsumerFigures]:
        rows = self._store.run("workers", [int(lease_seconds * 1000), RUNS_PER_CONSUMER])
        return [
            ConsumerFigures(
                text(name),
                age_ms / 1000,
                {text(facts[i]): text(facts[i + 1]) for i in range(0, len(facts), 2)},
                held,
                [text(run_id) for run_id in running],
            )
            for name, age_ms, facts, held, running in rows
        ]

    def ended(self) -> dict[tuple[str, bytes], int]:
        (fields,) = self._store.hashes([self._store.keys.counts])
        return {(text(name[2:]), name[:1]): whole(value) for name, value in fields.items()}

    def submitted(self) -> dict[tuple[str, str], int]:
        (fields,) = self._store.hashes([self._store.keys.submitted])
        found: dict[tuple[str, str], int] = {}
        for name, value in fields.items():
            queue, _, task = text(name).partition(":")
            found[(task, queue)] = whole(value)
        return found
