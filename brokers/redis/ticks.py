"""Ticks: what is due by the server's clock, and the runs that are made of it in one script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from brokers.facets.schedules import DueSchedules, Outcome, Tick, Ticked
from brokers.stored import text, whole

from .store import RedisStore

BREAK_MS: Final = 5_000
"""Nobody has looked for so long: what was due meanwhile was missed. A shorter time is a hiccup."""


class RedisTicks:
    """See :class:`brokers.base.Ticks`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def now_ms(self) -> int:
        ((seconds, microseconds),) = self._store.wires.commands([("TIME",)])
        return int(seconds) * 1000 + int(microseconds) // 1000

    def due(self, most: int = 1000) -> DueSchedules:
        now, back, coming, found = self._store.run("due", [most, BREAK_MS])
        pairs = [(text(found[at]), whole(found[at + 1])) for at in range(0, len(found), 2)]
        return DueSchedules(whole(now), whole(back), None if coming < 0 else whole(coming), pairs)

    def tick(self, ticks: Sequence[Tick], silent_seconds: float) -> list[Ticked]:
        arguments = [int(silent_seconds * 1000), self._store.ttl_ms, ticks]
        return [_ticked(what, rest) for what, rest in self._store.run("tick", arguments)] if ticks else []

    def fired(self, schedule_id: str, first_ms: int, last_ms: int) -> list[int]:
        (ticks,) = self._store.look([("ZRANGEBYSCORE", self._store.keys.fired(schedule_id), first_ms, last_ms)])
        return [whole(tick) for tick in ticks or ()]

    def note_fired(self, schedule_id: str, ticks_ms: Sequence[int]) -> None:
        if ticks_ms:
            pairs = [part for tick_ms in ticks_ms for part in (tick_ms, tick_ms)]
            key = self._store.keys.fired(schedule_id)
            self._store.wires.commands([("ZADD", key, *pairs)])

    def release(self, owner: str) -> int:
        return whole(self._store.run("schedule_release", owner))


def _ticked(what: bytes, rest: Sequence[Any]) -> Ticked:
    if text(what) == Outcome.REFUSED:
        return Ticked(Outcome.REFUSED, [], text(rest[0]))
    rows = [(whole(rest[at]), text(rest[at + 1]), text(rest[at + 2])) for at in range(0, len(rest), 3)]
    return Ticked(text(what), rows)
