"""Runs and queues of a process, under one lock."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from brokers.errors import BrokerUnavailable
from brokers.messages import FINAL_STATUSES, Ack, AckKind, Delivery, Envelope, Record, RunEnd, Status
from brokers.schema import Extra

STATUS_OF_ACK: Final = {
    AckKind.COMPLETED: Status.COMPLETED,
    AckKind.FAILED: Status.FAILED,
    AckKind.CANCELLED: Status.CANCELLED,
    AckKind.CRASHED: Status.CRASHED,
    AckKind.DEAD: Status.CRASHED,
    AckKind.BEHIND: Status.PARKED,
    AckKind.UNKNOWN: Status.LIMITED,
}


@dataclass(slots=True)
class MemoryRun:
    """The record of a run; ``consumer`` is empty while nobody has its call, ``ticket`` is the last one that counts."""

    envelope: Envelope
    status: bytes = Status.QUEUED
    outcome: bytes | None = None
    retries: int = 0
    crashes: int = 0
    take_overs: int = 0
    deliveries: int = 0
    ticket: str = ""
    consumer: str = ""
    started_at: float | None = None
    watchers: set[str] = field(default_factory=set)

    @property
    def has_begun(self) -> bool:
        """Whether it is not over, and somebody has taken it once."""
        if self.status in FINAL_STATUSES:
            return False
        return self.status in (Status.RUNNING, Status.CANCELLING) or bool(self.consumer or self.retries or self.crashes)

    def record(self) -> Record:
        call = self.envelope
        return Record(
            call.run_id,
            self.status,
            self.outcome,
            self.retries,
            self.crashes,
            call.task,
            call.flow_run_id,
            self.started_at,
            self.take_overs,
        )


class InboxReader(Protocol):
    """Gets what is sent to an inbox; from any thread, and returns at once."""

    def ends(self, ends: list[RunEnd]) -> None:
        """These runs have ended."""

    def orders(self, orders: list[tuple[str, str]]) -> None:
        """Somebody orders this: (what, run id)."""


class MemoryStore:
    """What the facets share.

    Attributes:
        runs: by run id, in the order in which they were sent.
        changed: notified whenever a call may be taken; its lock is the store's.
        away: set it, and every verb raises BrokerUnavailable: the server is gone.
    """

    def __init__(self) -> None:
        self.runs: dict[str, MemoryRun] = {}
        self.changed = threading.Condition(threading.RLock())
        self.paused: set[str] = set()
        self.beats: dict[str, float] = {}
        self.away = False
        self._by_key: dict[str, str] = {}
        self._queues: dict[str, deque[str]] = {}
        self._behind: dict[str, list[str]] = {}  # by the run whose end they wait for
        self._numbers = itertools.count(1)
        self._readers: dict[str, InboxReader] = {}

    def check(self) -> None:
        """Raises BrokerUnavailable while the store is :attr:`away`."""
        if self.away:
            raise BrokerUnavailable("the broker in memory is away")

    # -- runs ------------------------------------------------------------------------------------------------------

    def add(self, envelope: Envelope) -> str:
        """Write a record that waits for nobody yet; returns its run id, another one for a known idempotency key."""
        with self.changed:
            key, _ = (envelope.extras or {}).get(Extra.IDEMPOTENCY, (None, None))
            first = envelope.run_id if key is None else self._by_key.setdefault(key, envelope.run_id)
            if first == envelope.run_id and first not in self.runs:
                self.runs[first] = MemoryRun(envelope, watchers={envelope.reply_to} if envelope.reply_to else set())
            return first

    def queue(self, run_id: str, first: bool = False) -> None:
        """Let a consumer take the call of a run."""
        with self.changed:
            run = self.runs[run_id]
            run.status, run.ticket, run.consumer = Status.QUEUED, "", ""
            waiting = self._queues.setdefault(run.envelope.route, deque())
            waiting.appendleft(run_id) if first else waiting.append(run_id)
            self.changed.notify_all()

    def park(self, run_id: str, behind: str) -> None:
        """Queue the call of a run when another run, which is open, has ended."""
        with self.changed:
            self.runs[run_id].status = Status.PARKED
            self._behind.setdefault(behind, []).append(run_id)

    def take(self, consumer: str, routes: Iterable[str], want: int) -> list[Delivery]:
        """Claim up to ``want`` calls, those of the first routes first."""
        found: list[Delivery] = []
        with self.changed:
            for route in routes:
                waiting = self._queues.get(route) or deque()
                while waiting and len(found) < want and route[:-3] not in self.paused:
                    run = self.runs.get(waiting.popleft())
                    if run is not None and run.status == Status.QUEUED and not run.ticket:
                        found.append(self.deliver(run, consumer))
        return found

    def begin(self, run_id: str, consumer: str) -> Delivery:
        """Claim the call of one run, wherever it waits, and note it as running."""
        with self.changed:
            run = self.runs[run_id]
            run.status = Status.RUNNING
            return self.deliver(run, consumer)

    def deliver(self, run: MemoryRun, consumer: str) -> Delivery:
        """Give the call of a run to a consumer, under a new ticket."""
        run.ticket, run.consumer = f"{run.envelope.route} {next(self._numbers)}", consumer
        run.deliveries += 1
        return self._delivery(run)

    def hand_over(self, run_id: str, ticket: str, holder: str, other: str, even_cancelled: bool) -> Delivery | None:
        """Give a call that one consumer holds to another, under its ticket."""
        with self.changed:
            run = self.runs.get(run_id)
            if run is None or run.ticket != ticket or run.status in FINAL_STATUSES:
                return None
            if run.consumer not in (holder, other) or (run.status == Status.CANCELLING and not even_cancelled):
                return None
            run.consumer = other
            return self._delivery(run)

    def _delivery(self, run: MemoryRun) -> Delivery:
        call = run.envelope
        return Delivery(
            run.ticket,
            call.run_id,
            call.task,
            call.body,
            run.retries,
            run.crashes,
            call.flow_run_id,
            call.meta,
            run.deliveries,
            (call.extras or {}).get(Extra.BODY_UPSTREAMS),
        )

    def acknowledge(self, ack: Ack) -> bool:
        """End a delivery; whether its ticket was the record's. Repeated, it changes nothing."""
        with self.changed:
            run = self.runs.get(ack.run_id)
            if run is None or run.ticket != ack.ticket or not run.ticket:
                return False
            if run.status in FINAL_STATUSES:
                return True
            if ack.how == AckKind.RETRY:
                run.retries += 1
                self.queue(ack.run_id)
            elif ack.how == AckKind.HAND_BACK:
                run.deliveries -= 1
                self.queue(ack.run_id, first=True)
            else:
                self.end(ack.run_id, STATUS_OF_ACK[ack.how], ack.outcome)
            return True

    def end(self, run_id: str, status: bytes, outcome: bytes) -> None:
        """Record how a run ended, and notify its waiters."""
        with self.changed:
            run = self.runs[run_id]
            run.status, run.outcome, run.consumer = status, outcome, ""
            readers = [self._readers[name] for name in run.watchers if name in self._readers]
            waiting = self._behind.pop(run_id, []) if status in FINAL_STATUSES else []
            for parked in waiting:
                if (other := self.runs.get(parked)) is not None and other.status == Status.PARKED:
                    self.queue(parked)
        if status in FINAL_STATUSES:
            for reader in readers:
                reader.ends([(run_id, status, outcome)])

    def held_by(self, consumer: str, routes: Sequence[str]) -> dict[str, str]:
        """What a consumer has taken and not ended: ticket -> run id."""
        with self.changed:
            held = {run.ticket: run_id for run_id, run in self.runs.items() if run.consumer == consumer}
        return {ticket: run_id for ticket, run_id in held.items() if ticket.partition(" ")[0] in routes}

    def records(self, run_ids: Sequence[str]) -> list[Record]:
        """What is known of these runs, in order."""
        found = ((run_id, self.runs.get(run_id)) for run_id in run_ids)
        return [run.record() if run else Record(run_id, Status.UNKNOWN, None) for run_id, run in found]

    # -- who listens and lives -----------------------------------------------------------------------------------------

    def listen(self, inbox: str, reader: InboxReader | None) -> None:
        """Send what is for this inbox to its reader; ``None``: nobody reads it any more."""
        with self.changed:
            if reader is None:
                self._readers.pop(inbox, None)
            else:
                self._readers[inbox] = reader

    def reader_of(self, inbox: str) -> InboxReader | None:
        """Who reads an inbox."""
        return self._readers.get(inbox)

    def silent(self, lease_seconds: float) -> list[str]:
        """Consumers whose last beat is longer ago than the lease."""
        oldest = time.monotonic() - lease_seconds
        with self.changed:
            return [name for name, beat in self.beats.items() if beat < oldest]
