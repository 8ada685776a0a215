"""Deliveries and inboxes of a process: what lanes, slot monitors and clients talk to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from brokers.block_ends import BlockEnds
from brokers.errors import BrokerUnavailable
from brokers.facets.workers import Wait
from brokers.messages import FINAL_STATUSES, Ack, Delivery, KillVerdict, RunEnd, Status

from .store import MemoryStore


class MemoryQueueReader:
    """See :class:`brokers.base.QueueReader`."""

    def __init__(self, store: MemoryStore, consumer: str, routes: Sequence[str], block_seconds: float) -> None:
        self._store, self._consumer, self._routes = store, consumer, list(routes)
        self._block_seconds = block_seconds
        self._left_out: frozenset[str] | None = frozenset()
        self.closed = False

    def take(self, want: int, settle: Sequence[Ack] = ()) -> tuple[list[Delivery], list[str]]:
        """Acknowledge, and take up to ``want`` calls that are there now; also the refused run ids."""
        self._check()
        refused = [ack.run_id for ack in settle if not self._store.acknowledge(ack)]
        return self._store.take(self._consumer, self._wanted(), want), refused

    def wait(self, want: int) -> list[Delivery]:
        """Block until a call comes (or ``block_seconds`` have passed), then take up to ``want``."""
        with self._store.changed:
            until = time.monotonic() + self._block_seconds
            while True:
                self._check()
                found = self._store.take(self._consumer, self._wanted(), want)
                if found or not self._store.changed.wait(max(0.0, until - time.monotonic())):
                    return found

    def close(self) -> None:
        """Close for good; a thread that blocks in :meth:`wait` gets BrokerUnavailable."""
        with self._store.changed:
            self.closed = True
            self._store.changed.notify_all()

    def leave_out(self, queues: frozenset[str] | None) -> None:
        """From now on do not take calls of these queues; ``None``: take none at all."""
        with self._store.changed:
            self._left_out = queues
            self._store.changed.notify_all()

    def prepare(self) -> None:
        """There is nothing to make."""

    def _wanted(self) -> list[str]:
        return [route for route in self._routes if self._left_out is not None and route[:-3] not in self._left_out]

    def _check(self) -> None:
        self._store.check()
        if self.closed:
            raise BrokerUnavailable("this reader is closed")


class MemoryDeliveries:
    """See :class:`brokers.base.Deliveries`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def reader(
        self, consumer: str, routes: Sequence[str], block_seconds: float = 2.0, trust_seconds: float = 0.0
    ) -> MemoryQueueReader:
        """A consumer's reader of some routes."""
        return MemoryQueueReader(self._store, consumer, routes, block_seconds)

    def fetch(
        self,
        consumer: str,
        routes: Sequence[str],
        want: int,
        settle: Sequence[Ack] = (),
        claimed: Sequence[tuple[str, str, str]] = (),
    ) -> tuple[list[Delivery], list[str]]:
        """Acknowledge what has ended and take up to ``want`` calls."""
        return MemoryQueueReader(self._store, consumer, routes, 0.0).take(want, settle)

    def complete(self, consumer: str, acks: Sequence[Ack]) -> list[str]:
        self._store.check()
        return [ack.run_id for ack in acks if not self._store.acknowledge(ack)]

    def started(self, runs: Sequence[tuple[str, str] | tuple[str, str, bytes]]) -> list[str]:
        self._store.check()
        stop: list[str] = []
        with self._store.changed:
            for ticket, run_id, *_ in runs:
                run = self._store.runs.get(run_id)
                if run is None or run.ticket != ticket or run.status in (*FINAL_STATUSES, Status.CANCELLING):
                    stop.append(run_id)
                else:
                    run.status, run.started_at = Status.RUNNING, run.started_at or time.time()
        return stop

    def hand_over(
        self, run_id: str, ticket: str, holder: str, other: str, *, even_cancelled: bool = False
    ) -> Delivery | None:
        self._store.check()
        return self._store.hand_over(run_id, ticket, holder, other, even_cancelled)

    def pending(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        """What a consumer has taken and not ended: ticket -> run id."""
        self._store.check()
        return self._store.held_by(consumer, routes)

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
        """Queue the calls of a consumer that is gone again, uncharged; returns how many."""
        self._store.check()
        self._store.beats.pop(consumer, None)
        held = [run_id for run_id, run in self._store.runs.items() if run.consumer == consumer]
        for run_id in held:
            self._store.runs[run_id].take_overs += 1
            self._store.queue(run_id, first=True)
        return len(held)

    def killed(self, sent: Sequence[str] = ()) -> dict[str, int]:
        """None ends with its process: what they are kept in ends with it, too."""
        return {}


class MemoryInbox:
    """See :class:`brokers.base.Inbox`."""

    def __init__(
        self,
        store: MemoryStore,
        name: str,
        on_settled: Callable[[list[RunEnd]], None],
        on_orders: Callable[[list[tuple[str, str]]], None],
        on_gap: Callable[[], None],
    ) -> None:
        self.name = name
        self._store, self._on_settled, self._on_gap = store, on_settled, on_gap
        self.on_orders = on_orders
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"inbox-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read. Raises BrokerUnavailable."""
        self._store.check()
        self._store.listen(self.name, self)
        self._thread.start()

    def ends(self, ends: list[RunEnd]) -> None:
        """These runs have ended."""
        self._calls.put(lambda: self._on_settled(ends))

    def orders(self, orders: list[tuple[str, str]]) -> None:
        """Somebody orders this: (what, run id)."""
        self._calls.put(lambda: self.on_orders(orders))

    def ask_again(self) -> None:
        """Call ``on_gap``."""
        self._calls.put(self._on_gap)

    def read_here(self, wait: Wait, until: float) -> None:
        """Its own thread reads alone."""

    def listen(self) -> None:
        """Its thread always reads."""

    def stop(self) -> None:
        """Stop reading."""
        self._store.listen(self.name, None)
        self._calls.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class MemoryInboxes:
    """See :class:`brokers.base.Inboxes`."""

    def __init__(self, store: MemoryStore) -> None:
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
    ) -> MemoryInbox:
        """The inbox of a process or consumer, not read before its ``start``; nothing here is kept in blocks."""
        return MemoryInbox(self._store, name, on_settled, on_orders, on_gap)

    def expect(self, run_ids: Sequence[str], inbox: str) -> list[RunEnd]:
        """Have the ends of these runs sent to an inbox; returns those that have ended already, or are not known."""
        self._store.check()
        found: list[RunEnd] = []
        with self._store.changed:
            for run_id in run_ids:
                run = self._store.runs.get(run_id)
                if run is None:
                    found.append((run_id, Status.UNKNOWN, b"\0"))
                elif run.status in FINAL_STATUSES:
                    found.append((run_id, run.status, run.outcome or b"\0"))
                else:
                    run.watchers.add(inbox)
        return found

    def ends(self, run_ids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Status and outcome of these runs."""
        self._store.check()
        return {record.run_id: (record.status, record.outcome or b"\0") for record in self._store.records(run_ids)}

    def send_order(self, what: str, inboxes: Sequence[str]) -> set[str]:
        readers = {name: reader for name in inboxes if (reader := self._store.reader_of(name)) is not None}
        for reader in readers.values():
            reader.orders([(what, "")])
        return set(readers)

    def is_listening(self, process: str) -> bool:
        """Whether a process reads its inbox."""
        return self._store.reader_of(process) is not None
