"""Queues: pause, resume, purge, what is left to do, and calls whose task no worker of a queue knows."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.messages import ASYNC_LANE, SYNC_LANE, routes_of
from brokers.records import CALLS_AT_ONCE, PURGED, Backlog
from brokers.stored import text

from .store import RedisStore


class RedisQueues:
    """See :class:`brokers.base.Queues`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def paused(self) -> set[str]:
        (names,) = self._store.look([("SMEMBERS", self._store.keys.paused)])
        return {name.decode("utf-8", "replace") for name in names or ()}

    def pause(self, queue: str) -> bool:
        return bool(self._store.run("pause", ["pause", queue]))

    def resume(self, queue: str) -> bool:
        return bool(self._store.run("pause", ["resume", queue]))

    def purge(self, queue: str) -> int:
        purged, until = 0, 0
        while True:
            some: int
            some, seen, until = self._store.run_once("purge", [queue, CALLS_AT_ONCE, self._store.ttl_ms, PURGED, until])
            purged += some
            if not seen:
                return purged

    def backlog(self, queues: Sequence[str], soon_seconds: float = 1.0) -> Backlog:
        routes = [route for lane in (SYNC_LANE, ASYNC_LANE) for route in routes_of(list(queues), lane)]
        waiting, due_soon, *held = self._store.run("backlog", [routes, int(soon_seconds * 1000)])
        return Backlog(waiting, due_soon, {text(held[i]): held[i + 1] for i in range(0, len(held), 2)})

    def unknown_tasks(self) -> list[tuple[str, str]]:
        (names,) = self._store.look([("SMEMBERS", self._store.keys.unknown_tasks)])
        pairs = (text(name).partition(":") for name in names or ())
        return [(queue, task) for queue, _, task in pairs]

    def adopt(self, tasks: Sequence[tuple[str, str]]) -> int:
        queued_in_all = 0
        while True:
            queued: int = self._store.run("adopt", [[f"{queue}:{task}" for queue, task in tasks], CALLS_AT_ONCE])
            queued_in_all += queued
            if queued < CALLS_AT_ONCE:
                return queued_in_all
