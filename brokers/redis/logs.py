"""What runs say while they run: log lines and progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brokers.records import in_portions
from brokers.schema import RecordField
from brokers.stored import text

from .store import RedisStore


class RedisLogs:
    """See :class:`brokers.base.Logs`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def append(self, lines: Mapping[str, Sequence[bytes]], keep: int) -> None:
        self._store.run("log", [[[run_id, some] for run_id, some in lines.items()], keep, self._store.ttl_ms])

    def read(self, run_id: str) -> list[bytes]:
        (lines,) = self._store.look([("LRANGE", self._store.keys.log(run_id), 0, -1)])
        return list(lines or ())

    def newest(self, run_ids: Sequence[str]) -> dict[str, bytes | None]:
        rows = self._store.look([("LRANGE", self._store.keys.log(run_id), -1, -1) for run_id in run_ids])
        return {run_id: row[0] if row else None for run_id, row in zip(run_ids, rows, strict=True)}

    def note_progress(self, notes: Sequence[tuple[str, str, bytes]]) -> None:
        for some in in_portions(notes):
            self._store.run("progress", some)

    def read_progress(self, run_ids: Sequence[str]) -> list[tuple[str, bytes] | None]:
        rows = self._store.look(
            [("HMGET", self._store.keys.record(run_id), RecordField.TICKET, RecordField.PROGRESS) for run_id in run_ids]
        )
        found: list[tuple[str, bytes] | None] = []
        for ticket, stored in (row or (None, None) for row in rows):
            of, _, value = (stored or b"").partition(b"\0")
            found.append((text(ticket), value) if ticket and of == ticket else None)
        return found
