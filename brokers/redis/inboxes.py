"""Inboxes: the ends of runs for whoever waits for them, and orders to workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from brokers.block_ends import BlockEnds
from brokers.messages import RunEnd
from brokers.records import CALLS_AT_ONCE

from .inbox import INBOX_TTL_MS, RedisInbox
from .records import RedisRecords
from .sources import add_results, stretches_of
from .store import RedisStore

BLOCKS_AT_ONCE: Final = 50


class RedisInboxes:
    """See :class:`brokers.base.Inboxes`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def inbox(
        self,
        name: str,
        *,
        on_settled: Callable[[list[RunEnd]], None] = lambda ends: None,
        on_orders: Callable[[list[tuple[str, str]]], None] = lambda orders: None,
        on_gap: Callable[[], None] = lambda: None,
        on_pieces: Callable[[list[BlockEnds]], None] | None = None,
        is_quiet: Callable[[], bool] = lambda: False,
    ) -> RedisInbox:
        return RedisInbox(
            self._store,
            name,
            lambda: self.expect([], name),
            on_settled=on_settled,
            on_orders=on_orders,
            on_gap=on_gap,
            on_pieces=on_pieces,
            is_quiet=is_quiet,
        )

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[RunEnd]:
        found: list[RunEnd] = []
        for first in range(0, max(len(run_ids), 1), CALLS_AT_ONCE):
            row = self._store.run("expect", [inbox, INBOX_TTL_MS, run_ids[first : first + CALLS_AT_ONCE]])
            found += [(row[i].decode(), row[i + 1], row[i + 2]) for i in range(0, len(row), 3)]
        return found

    def ends(self, run_ids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        found: dict[str, tuple[bytes, bytes]] = {}
        wanted = stretches_of(run_ids)
        while wanted:
            replies = self._store.run("pieces", wanted[:BLOCKS_AT_ONCE])
            for of_block in filter(None, replies):
                add_results(found, of_block)
            del wanted[: len(replies)]
        for record in RedisRecords(self._store).read([run_id for run_id in run_ids if run_id not in found]):
            found[record.run_id] = record.status, record.outcome or b"\0"
        return found

    def send_order(self, what: str, inboxes: Sequence[str]) -> set[str]:
        return {name.decode() for name in self._store.run("order", [what, list(inboxes)])}

    def is_listening(self, process: str) -> bool:
        (found,) = self._store.wires.commands([("EXISTS", self._store.keys.inbox(process))])
        return bool(found)
