"""Consumers: leases, descriptions, and what becomes of the calls of one that is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from brokers.facets.events import EVENTS_TTL_SECONDS
from brokers.stored import exact, text

from .keys import Keys
from .store import RedisStore

PROJECTS: Final = "orchestrator:projects"  # zset of "<namespace> <project>" by its workers' last beat (server seconds)
PROJECT_TTL_SECONDS: Final = 30 * 86_400
JOURNAL_PORTION: Final = 20_000  # entries that one script drops


class RedisConsumers:
    """See :class:`brokers.base.Consumers`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def beat(self, consumers: Sequence[str], lease_seconds: float) -> list[str]:
        return [exact(name) for name in self._store.run("beat", [consumers, int(lease_seconds * 1000)])]

    def tidy(
        self, patience_seconds: float, dead_letter_ttl_seconds: float, events_ttl_seconds: float = EVENTS_TTL_SECONDS
    ) -> int:
        ages = [
            int(patience_seconds * 1000),
            int(dead_letter_ttl_seconds * 1000),
            self._store.ttl_ms,
            int(events_ttl_seconds * 1000),
        ]
        found_in_all = 0
        while True:
            found: int
            found, dropped = self._store.run("tidy", [*ages, JOURNAL_PORTION])
            found_in_all += found
            if dropped < JOURNAL_PORTION // 2:  # it drops whole nodes, of a hundred entries or so
                return found_in_all

    def describe(self, consumer: str, facts: Mapping[str, str], ttl_seconds: float) -> None:
        self._store.describe(self._store.keys.worker(consumer), facts, ttl_seconds * 1000)

    def leave(self, names: Sequence[str]) -> None:
        self._store.run("leave", list(names))

    def alive(self, lease_seconds: float) -> dict[str, dict[str, str]]:
        alive = self._alive(self._store.keys, lease_seconds)
        facts = self._store.hashes([self._store.keys.worker("").encode() + name for name in alive])
        return {
            text(name): {text(field): text(value) for field, value in some.items()}
            for name, some in zip(alive, facts, strict=True)
        }

    def _alive(self, keys: Keys, lease_seconds: float) -> list[bytes]:
        clock, rows = self._store.look([("TIME",), ("ZRANGE", keys.workers, 0, -1, "WITHSCORES")])
        oldest = int(clock[0]) * 1000 + int(clock[1]) / 1000 - lease_seconds * 1000
        return [rows[i] for i in range(0, len(rows or ()), 2) if float(rows[i + 1]) >= oldest]

    def note_project(self, project: str) -> None:
        namespace = self._store.keys.prefix[1:-2]
        (clock,) = self._store.wires.commands([("TIME",)])
        member = f"{namespace} {project}"
        self._store.wires.commands(
            [
                ("ZADD", PROJECTS, int(clock[0]), member),
                ("ZREMRANGEBYSCORE", PROJECTS, "-inf", int(clock[0]) - PROJECT_TTL_SECONDS),
            ]
        )

    def projects(self, lease_seconds: float) -> list[str]:
        (rows,) = self._store.look([("ZRANGE", PROJECTS, 0, -1)])
        others = [text(row).partition(" ") for row in rows or ()]
        return [
            project
            for namespace, _, project in others
            if Keys(namespace).prefix != self._store.keys.prefix and self._alive(Keys(namespace), lease_seconds)
        ]
