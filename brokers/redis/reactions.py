"""What automations count, and the calls of what fires, written in one script with how far events were looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from brokers.facets.reactions import ACTION_QUEUE, FIRINGS_KEPT, Move, Reactor
from brokers.stored import text, whole

from .store import RedisStore

FIRINGS_TTL_MS: Final = 90 * 86_400_000


class RedisReactions:
    """See :class:`brokers.base.Reactions`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def look(self, most_due: int = 100) -> Reactor:
        now, version, journal, events, partly, due, coming, calls, definitions = self._store.run(
            "react_look", [most_due, ACTION_QUEUE]
        )
        return Reactor(
            whole(now),
            whole(version),
            text(journal),
            text(events),
            text(partly),
            [text(name) for name in due],
            None if coming < 0 else whole(coming),
            whole(calls),
            text(definitions),
        )

    def counts(self, names: Sequence[str]) -> list[bytes | None]:
        prefix = self._store.keys.prefix
        values = self._store.look([("GET", f"{prefix}count:{name}") for name in names])
        return [value if isinstance(value, bytes) else None for value in values]

    def keep(self, name: str, value: bytes, ttl_ms: int) -> None:
        self._store.wires.commands([("SET", f"{self._store.keys.prefix}count:{name}", value, "PX", ttl_ms)])

    def move(self, move: Move) -> bool:
        arguments = [
            move.version,
            move.journal,
            move.events,
            move.partly,
            move.counts,
            move.firings,
            move.calls,
            FIRINGS_KEPT,
            FIRINGS_TTL_MS,
        ]
        return bool(self._store.run("react", arguments))

    def firings(self, automation_id: str, first: int = 0, count: int = 50) -> tuple[int, list[bytes]]:
        key = f"{self._store.keys.prefix}firings:{automation_id}"
        total, rows = self._store.look([("LLEN", key), ("LRANGE", key, first, first + count - 1)])
        return whole(total), list(rows or ())

    def forget(self, automation_id: str) -> None:
        self._store.wires.commands([("DEL", f"{self._store.keys.prefix}firings:{automation_id}")])
