"""Client, worker and inbox in one thread, step by step: what is timed or counted is then nobody else's.

The steps are those of a real worker's thread (``ThreadLane.loop``) and a real client's (``Inbox``); what is left
out are the threads that look after long calls, which sleep while calls are short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.client.fleet import Fleet
from orchestrator.client.waiting import waited_for
from orchestrator.slots import Slots, SlotsOptions


class Stepwise:
    """Drives a fleet in the thread that calls it.

    Args:
        fleet: this process's; it must not have an inbox yet.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.slots = Slots(fleet, SlotsOptions())
        ends = fleet.open_futures
        self.inbox = fleet.broker.inboxes.inbox(
            fleet.process, on_settled=ends.settle_ends, on_pieces=ends.settle_pieces
        )
        fleet.work_as(self.slots.consumer)
        fleet.broker.inboxes.expect([], fleet.process)
        fleet.open_futures._inbox = self.inbox  # calls name it, and nobody reads it but resolve()

    def run(self, calls: int) -> None:
        """Be a slot's thread for so many calls, which must be queued, until their ends are stored."""
        lane = self.slots.thread_lane
        lane._permits.take()
        for _ in range(calls):
            delivery = lane.next(True)
            assert delivery is not None
            lane.run(delivery, 0, True)
        lane._permits.give()
        self.slots.flush_acks()

    def resolve(self, futures: Sequence[Any]) -> None:
        """Be the inbox's thread until the ends of these are known."""
        for future in reversed(waited_for(futures)):
            while not future.settled:
                self.inbox._read_once()
