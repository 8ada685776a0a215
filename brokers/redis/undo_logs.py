"""What has to be undone if the process of a run dies: one list for each run that is in a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from .store import RedisStore


class RedisUndoLogs:
    """See :class:`brokers.base.UndoLogs`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def write(self, run_id: str, ticket: str, stay: int, entries: Sequence[bytes], ttl_seconds: float) -> bool:
        arguments = [run_id, ticket, stay, list(entries), max(1, int(ttl_seconds * 1000))]
        return bool(self._store.run("undo_write", arguments))

    def read(self, run_id: str) -> list[bytes]:
        (entries,) = self._store.look([("LRANGE", self._store.keys.undo_log(run_id), 0, -1)])
        return list(entries or ())
