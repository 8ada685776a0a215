"""Events in memory."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

from brokers.facets.events import StoredEvent
from brokers.records import BEGINNING

from .store import MemoryStore

Entry = tuple[str, list[StoredEvent | None]]


class MemoryEvents:
    """See :class:`brokers.base.Events`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._entries: list[Entry] = []
        self._numbers = itertools.count()
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def append(self, events: Sequence[StoredEvent]) -> None:
        self._store.check()
        with self._lock:
            now = int(time.time() * 1000)
            for event in events:
                if not event.id or event.id not in self._ids:
                    self._ids.add(event.id)
                    self._entries.append((f"{now}-{next(self._numbers)}", [event]))

    def watch(
        self, *, every_seconds: float, lease_seconds: float, late_after_seconds: float, served_within_seconds: float
    ) -> bool:
        """Whoever could be lost or late is this process."""
        return False

    def newest(self) -> str:
        with self._lock:
            return self._entries[-1][0] if self._entries else BEGINNING

    def forwards(self, position: str = BEGINNING, count: int = 1000) -> list[Entry]:
        self._store.check()
        with self._lock:
            return [entry for entry in self._entries if _place(entry[0]) > _place(position)][:count]

    def backwards(self, first: str = "+", count: int = 100) -> list[Entry]:
        self._store.check()
        with self._lock:
            found = list(reversed(self._entries))
        if first.startswith("("):
            found = [entry for entry in found if _place(entry[0]) < _place(first[1:])]
        elif first != "+":
            found = [entry for entry in found if _place(entry[0]) <= _place(first)]
        return found[:count]


def _place(position: str) -> tuple[int, int]:
    moment, _, number = position.partition("-")
    return int(moment), int(number or 0)
