"""Threads that send while another one's trip is under way, so that it is known who shares a trip."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from brokers.block_ids import member_ids
from brokers.errors import BrokerRefused
from brokers.framed_calls import FramedCalls
from brokers.messages import Envelope
from brokers.sender import Sender
from orchestrator.runs.run_ids import new_run_id
from tests.support.waiting import wait_until


class Store:
    """Takes what comes, trip by trip; the first trip only once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.trips: list[list[Envelope]] = []
        self.framed: list[bool] = []
        self.errors: list[BaseException] = []
        self.refuses: set[bytes] = set()

    def submit(self, envelopes: Sequence[Envelope]) -> list[str]:
        self.trips.append(list(envelopes))
        self.framed.append(isinstance(envelopes, FramedCalls))
        if len(self.trips) == 1:
            assert self.gate.wait(20)
        elif self.errors:
            raise self.errors.pop(0)
        if any(envelope.body in self.refuses for envelope in envelopes):
            raise BrokerRefused("not this one")
        return [envelope.run_id for envelope in envelopes]

    def ids(self, trip: int) -> list[str]:
        return [envelope.run_id for envelope in self.trips[trip]]


def envelope(number: int, task: str = "app.task", **more: Any) -> Envelope:
    return Envelope(new_run_id(), task, "default:ds", b"%d" % number)._replace(**more)


def rebound(call: Envelope, run_id: str) -> bytes:
    return call.body


class Senders:
    """Threads that send while another one's trip is under way: they share the next."""

    def __init__(self, store: Store, sender: Sender) -> None:
        self.store, self.sender = store, sender
        self.pool = ThreadPoolExecutor(200)
        self.first = self.pool.submit(sender.send, [envelope(0)])
        wait_until(lambda: len(store.trips) == 1)

    def send(self, envelopes: Sequence[Envelope], free: bool = True) -> list[Future[Sequence[str]]]:
        """One after another, so that the order is known."""
        sent = []
        for number, one in enumerate(envelopes, len(self.sender._waiting) + 1):
            sent.append(self.pool.submit(self.sender.send, (one,), rebound if free else None))
            wait_until(lambda number=number: len(self.sender._waiting) == number)  # type: ignore[misc]
        return sent

    def go(self) -> None:
        self.store.gate.set()
        self.pool.shutdown()


def block_of(run_ids: Sequence[str]) -> str:
    """What they begin with; they stand side by side from the first place on."""
    block = run_ids[0][:32]
    assert list(run_ids) == member_ids(block, len(run_ids))
    return block
