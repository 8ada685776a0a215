"""Dead letters: runs that were given up, kept for a while to be looked at and replayed."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.records import in_portions
from brokers.stored import text

from .store import RedisStore


class RedisDeadLetters:
    """See :class:`brokers.base.DeadLetters`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def newest(self, count: int = 100) -> list[str]:
        (ids,) = self._store.look([("ZREVRANGE", self._store.keys.dead, 0, count - 1)])
        return [text(run_id) for run_id in ids or ()]

    def count(self) -> int:
        (number,) = self._store.look([("ZCARD", self._store.keys.dead)])
        return int(number or 0)

    def forget(self, run_ids: Sequence[str]) -> int:
        return sum(len(self._store.run_once("delete", [some, 1])) for some in in_portions(run_ids))
