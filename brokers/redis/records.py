"""Records of runs: what is known of each, and what its arguments were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from brokers.errors import BrokerRefused
from brokers.facets.limits import KIND
from brokers.messages import FINAL_STATUSES, Record
from brokers.records import CALLS_AT_ONCE, Place, Row, Standing, in_portions
from brokers.schema import RecordField, Status
from brokers.stored import seconds, text, text_or_none, whole

from .blocks import range_ticket
from .keys import GROUP
from .store import RedisStore

ROWS_AT_ONCE: Final = 500
UNLIMITED: Final = 2**31


class RedisRecords:
    """See :class:`brokers.base.Records`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def read(self, run_ids: Sequence[str]) -> list[Record]:
        records: list[Record] = []
        while len(records) < len(run_ids):
            for row in self._store.run("read", run_ids[len(records) : len(records) + CALLS_AT_ONCE]):
                run_id, status, outcome, retries, crashes, task, flow_run_id, started_ms, take_overs, due_ms = row
                records.append(
                    Record(
                        text(run_id),
                        status,
                        outcome or None,
                        whole(retries),
                        whole(crashes),
                        text_or_none(task),
                        text_or_none(flow_run_id),
                        seconds(started_ms),
                        whole(take_overs),
                        seconds(due_ms),
                    )
                )
        return records

    def rows(self, run_ids: Sequence[str], largest_outcome: int = 0) -> list[Row]:
        rows: list[Row] = []
        for some in in_portions(run_ids, ROWS_AT_ONCE):
            replies = self._store.run("rows", [some, largest_outcome])
            rows += [_row(run_id, fields) for run_id, fields in zip(some, replies, strict=True)]
        return rows

    def standings(self, run_ids: Sequence[str]) -> list[Standing]:
        return [
            Standing(status, held == 1)
            for some in in_portions(run_ids, ROWS_AT_ONCE)
            for status, held in self._store.run("standings", some)
        ]

    def bodies(self, run_ids: Sequence[str]) -> list[tuple[bytes | None, bytes | None]]:
        wanted = [RecordField.BODY, RecordField.META]
        return [
            (body or None, meta or None)
            for some in in_portions(run_ids)
            for body, meta in self._store.run("fields", [some, wanted])
        ]

    def upstreams(self, run_ids: Sequence[str]) -> list[bytes | None]:
        return [
            packed or None
            for some in in_portions(run_ids)
            for (packed,) in self._store.run("fields", [some, [RecordField.UPSTREAMS]])
        ]

    def delayed(self, first: int, limit: int) -> tuple[int, list[str]]:
        key = self._store.keys.delayed
        total, ids = self._store.look([("ZCARD", key), ("ZRANGE", key, first, first + limit - 1)])
        return int(total or 0), [text(run_id) for run_id in ids or ()]

    def places(self, run_ids: Sequence[str]) -> list[Place | None]:
        """Of each run, what its named limit says; ``None`` for one without a limit."""
        keys = self._store.keys
        fields = [("HMGET", keys.record(run_id), RecordField.LIMIT, RecordField.STATUS) for run_id in run_ids]
        limits = [_limits_of(reply) for reply in self._store.look(fields)]
        names = sorted({name for some, _ in limits for name, _ in some})
        held = self._store.look([("ZRANGE", keys.limit(name), 0, -1) for name in names])
        holders = {name: frozenset(map(text, found or ())) for name, found in zip(names, held, strict=True)}
        sizes = self._declared(names)
        return [
            _tightest([Place(name, sizes.get(name, size), waits, holders[name]) for name, size in some])
            for some, waits in limits
        ]

    def _declared(self, names: Sequence[str]) -> dict[str, int]:
        """The sizes of limits as they were declared, of those that were."""
        documents = [self._store.keys.document(KIND, name) for name in names]
        found = zip(names, self._store.look([("HMGET", key, "limit", "active") for key in documents]), strict=True)
        sizes = {name: (row[0], row[1]) for name, row in found if row and row[0]}
        return {name: UNLIMITED if active == b"0" else whole(size) for name, (size, active) in sizes.items()}

    def holder(self, row: Row) -> str | None:
        route, _, entry = range_ticket(row.ticket).partition(" ")
        if not entry or route.startswith("@") or row.status in FINAL_STATUSES:
            return None
        try:
            (held,) = self._store.look([("XPENDING", self._store.keys.stream(route), GROUP, entry, entry, 1)])
        except BrokerRefused:  # nobody has read this stream yet
            return None
        return text(held[0][1]) if held else None


def _limits_of(reply: Any) -> tuple[list[tuple[str, int]], bool]:
    """Names and sizes of a run's limits, and whether it waits, from two fields of its record."""
    lines = text(reply[0] if reply and reply[0] else b"").splitlines()
    pairs = [(name, size) for name, bar, size in (line.rpartition("|") for line in lines) if bar]
    return [(name, whole(size.encode()) if size else UNLIMITED) for name, size in pairs], bool(
        reply and reply[1] == Status.LIMITED
    )


def _tightest(places: Sequence[Place]) -> Place | None:
    """The limit that a run is most likely to wait for."""
    return min(places, key=lambda place: place.size - len(place.holders), default=None)


def _row(run_id: str, fields: Any) -> Row:
    if not fields:
        return Row(run_id)
    status, task, route, flow, meta, retries, crashes, take_overs, started, due, ticket, outcome, name = fields
    home = text(route)
    return Row(
        run_id,
        status,
        text(task),
        home[:-3],
        home[-2:-1],
        text_or_none(flow),
        meta or None,
        whole(retries),
        whole(crashes),
        whole(take_overs),
        seconds(started),
        seconds(due),
        text(ticket),
        outcome or None,
        name or None,
    )
