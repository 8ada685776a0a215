"""Deliveries: calls are handed to consumers and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from brokers.messages import Ack, Delivery, KillVerdict
from brokers.stored import text, whole

from . import settling
from .fetching import delivery_of, fetch
from .queue_reader import RedisQueueReader
from .store import RedisStore

MOVED_AT_ONCE: Final = 200


class RedisDeliveries:
    """See :class:`brokers.base.Deliveries`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def reader(
        self, consumer: str, routes: Sequence[str], block_seconds: float = 2.0, trust_seconds: float = 0.0
    ) -> RedisQueueReader:
        return RedisQueueReader(self._store, consumer, routes, block_seconds, trust_seconds)

    def fetch(
        self,
        consumer: str,
        routes: Sequence[str],
        want: int,
        settle: Sequence[Ack] = (),
        claimed: Sequence[tuple[str, str, str]] = (),
    ) -> tuple[list[Delivery], list[str]]:
        arguments = [consumer, routes, want, claimed, self._store.ttl_ms]
        return fetch(self._store, self._store.wires, arguments, settle)

    def complete(self, consumer: str, acks: Sequence[Ack]) -> list[str]:
        return settling.settle(self._store, acks)

    def started(self, runs: Sequence[tuple[str, str] | tuple[str, str, bytes]]) -> list[str]:
        return [run_id.decode() for run_id in self._store.run("started", runs)]

    def hand_over(
        self, run_id: str, ticket: str, holder: str, other: str, *, even_cancelled: bool = False
    ) -> Delivery | None:
        row = self._store.run("hand_over", [run_id, ticket, holder, other, even_cancelled])
        return delivery_of(row) if row else None

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        row = self._store.run("pending", [consumer, routes])
        return {text(row[i]): text(row[i + 1]) for i in range(0, len(row), 2)}

    def take_over(
        self,
        consumer: str,
        *,
        running: Mapping[str, str] | None = None,
        verdicts: Mapping[str, KillVerdict] | None = None,
        charge_running: bool = True,
        max_deliveries: int = 3,
        dead_letter_ttl_seconds: float = 30 * 86_400,
    ) -> int:
        arguments = [
            consumer,
            dict(running or {}),
            max_deliveries,
            int(dead_letter_ttl_seconds * 1000),
            self._store.ttl_ms,
            MOVED_AT_ONCE,
            charge_running,
            dict(verdicts or {}),
        ]
        moved_in_all = 0
        while True:
            moved: int
            moved, left = self._store.run("take_over", arguments)
            moved_in_all += moved
            if not left:
                return moved_in_all

    def killed(self, sent: Sequence[str] = ()) -> dict[str, int]:
        row = self._store.run("killed", [list(sent), MOVED_AT_ONCE])
        return {text(row[at]): whole(row[at + 1]) for at in range(0, len(row), 2)}
