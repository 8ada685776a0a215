"""What automations count, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from brokers.facets.reactions import ACTION_QUEUE, FIRINGS_KEPT, Move, Reactor
from brokers.messages import Status

from .documents import MemoryDocuments
from .facets import MemoryRuns
from .store import MemoryStore


class MemoryReactions:
    """See :class:`brokers.base.Reactions`.

    Args:
        store: whose calls wait.
        runs: where the calls of actions are sent.
        documents: where the automations are.
    """

    def __init__(self, store: MemoryStore, runs: MemoryRuns, documents: MemoryDocuments) -> None:
        self._store, self._runs, self._documents = store, runs, documents
        self._lock = threading.RLock()
        self._reactor = Reactor(0)
        self._counts: dict[str, bytes] = {}
        self._deadlines: dict[str, int] = {}
        self._firings: dict[str, list[bytes]] = {}

    def look(self, most_due: int = 100) -> Reactor:
        self._store.check()
        with self._lock:
            now = round(time.time() * 1000)
            ordered = sorted(self._deadlines.items(), key=lambda item: item[1])
            due = [name for name, at in ordered if at <= now][:most_due]
            coming = [at for _, at in ordered if at > now]
            return self._reactor._replace(
                now_ms=now,
                due=due,
                next_ms=coming[0] if coming else None,
                calls=self._waiting(),
                definitions=self._definitions(),
            )

    def _waiting(self) -> int:
        ours = [run for run in list(self._store.runs.values()) if run.envelope.route.startswith(f"{ACTION_QUEUE}:")]
        return sum(run.status == Status.QUEUED and not run.ticket for run in ours)

    def _definitions(self) -> str:
        total, ids = self._documents.newest("automation", 0, 1)
        (newest,) = self._documents.read("automation", ids) or [None]
        return f"{total} {ids} {newest.generation if newest else 0}"

    def counts(self, names: Sequence[str]) -> list[bytes | None]:
        with self._lock:
            return [self._counts.get(name) for name in names]

    def keep(self, name: str, value: bytes, ttl_ms: int) -> None:
        with self._lock:
            self._counts[name] = value

    def move(self, move: Move) -> bool:
        self._store.check()
        with self._lock:
            if self._reactor.version != move.version:
                return False
            for name, value, _, due_ms in move.counts:
                self._counts.pop(name, None)
                self._deadlines.pop(name, None)
                if value:
                    self._counts[name] = value
                if due_ms:
                    self._deadlines[name] = due_ms
            for firing in move.firings:
                rows = self._firings.setdefault(firing.automation_id, [])
                rows.insert(0, firing.row)
                del rows[FIRINGS_KEPT:]
            self._runs.submit(move.calls)
            self._reactor = Reactor(0, move.version + 1, move.journal, move.events, move.partly)
            return True

    def firings(self, automation_id: str, first: int = 0, count: int = 50) -> tuple[int, list[bytes]]:
        with self._lock:
            rows = self._firings.get(automation_id, [])
            return len(rows), rows[first : first + count]

    def forget(self, automation_id: str) -> None:
        with self._lock:
            self._firings.pop(automation_id, None)
