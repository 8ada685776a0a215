"""Guesses of passwords, in the store: a hash for each that guesses or is guessed at, until it is forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from brokers.facets.guesses import Pace
from brokers.stored import whole

from .store import RedisStore


class RedisGuesses:
    """See :class:`brokers.base.Guesses`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def begin(self, paces: Mapping[str, Pace], forgotten_after_ms: int) -> int:
        flat = [part for name, pace in paces.items() for part in (name, *pace)]
        return whole(self._store.run("guess", [flat, forgotten_after_ms]))

    def forget(self, names: Sequence[str], shares: Mapping[str, str] = MappingProxyType({})) -> None:
        if names or shares:
            self._store.run("forgive", [list(names), [part for share in shares.items() for part in share]])
