"""Client, worker and inbox in one thread, step by step: what is timed or counted is then nobody else's.

The steps are those of a real worker's thread (``SyncLane.loop``) and a real client's (``Inbox``); what is left out are
the threads that look after long calls, which sleep while calls are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brokers.redis.inbox import Inbox
from orchestrator.fleet import Fleet
from orchestrator.slots import Slots, SlotsOptions


class Stepwise:
    """Drives a fleet in the thread that calls it.

    Args:
        fleet: this process's; it must not have an inbox yet.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.slots = Slots(fleet, SlotsOptions())
        self.inbox = Inbox(fleet.broker, fleet.process, on_settled=fleet._on_settled)
        fleet.broker.expect([], fleet.process)
        fleet._inbox = self.inbox  # calls name it, and nobody reads it but resolve()

    def run(self, calls: int) -> None:
        """Be a slot's thread for so many calls, which must be queued, until their ends are stored."""
        lane = self.slots.sync_lane
        lane._permits.take()
        for _ in range(calls):
            delivery = lane._next(True)
            assert delivery is not None
            lane._try_to_run(delivery, 0, True)
        lane._permits.give()
        self.slots.flush_finished()

    def resolve(self, futures: Sequence[Any]) -> None:
        """Be the inbox's thread until the ends of these are known."""
        for future in reversed(futures):
            while not future.settled:
                self.inbox._read_once()
