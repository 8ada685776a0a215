"""Inputs of flow runs: a stream for each, and a hash that finds them by key."""

from __future__ import annotations

from typing import Final

from brokers.errors import BrokerConflict
from brokers.facets.inputs import FIRST, StoredInput
from brokers.stored import text, whole

from .inbox import INBOX_TTL_MS
from .store import RedisStore

_TAKEN: Final = 2


class RedisInputs:
    """See :class:`brokers.base.Inputs`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def add(self, flow_run_id: str, key: str, value: bytes) -> bool:
        done = whole(self._store.run("input_add", [flow_run_id, key, value, self._store.ttl_ms]))
        if done == _TAKEN:
            raise BrokerConflict(f"flow run {flow_run_id} has an input {key!r} already; nothing was written")
        return bool(done)

    def after(
        self, flow_run_id: str, position: str = FIRST, count: int = 100, inbox: str = "", receiver: str = ""
    ) -> list[StoredInput]:
        row = self._store.run("input_after", [flow_run_id, position, count, inbox, receiver, 10 * INBOX_TTL_MS])
        return [StoredInput(text(row[at]), text(row[at + 1]), row[at + 2]) for at in range(0, len(row), 3)]

    def read(self, flow_run_id: str, key: str) -> StoredInput | None:
        keys = self._store.keys
        (position,) = self._store.look([("HGET", keys.input_keys(flow_run_id), key)])
        if position is None:
            return None
        (found,) = self._store.look([("XRANGE", keys.inputs(flow_run_id), position, position)])
        if not found or len(found[0][1]) < 4:
            return None
        return StoredInput(text(position), key, found[0][1][3])

    def delete(self, flow_run_id: str, key: str) -> bool:
        return bool(self._store.run("input_delete", [flow_run_id, key]))
