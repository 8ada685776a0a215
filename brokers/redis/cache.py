"""The cache of results, and who computes a key that is not in it yet."""

from __future__ import annotations

from brokers.stored import text

from .store import RedisStore


class RedisCache:
    """See :class:`brokers.base.Cache`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def get(self, key: str) -> bytes | None:
        (value,) = self._store.look([("GET", self._store.keys.cache(key))])
        found: bytes | None = value
        return found

    def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        milliseconds = max(1, int(ttl_seconds * 1000))
        self._store.wires.commands([("SET", self._store.keys.cache(key), value, "PX", milliseconds)])

    def lock(self, key: str, run_id: str, ttl_seconds: float) -> str:
        name = self._store.keys.cache(key) + ":lock"
        commands = [("SET", name, run_id, "NX", "PX", int(ttl_seconds * 1000)), ("GET", name)]
        taken, holder = self._store.look(commands)
        return run_id if taken else text(holder or run_id.encode())

    def unlock(self, key: str, holder: str) -> None:
        self._store.run("unlock", [key, holder])
