"""A call whose next crash would be its last runs with no other call in its process.

When a process dies, every call that ran in it is charged: nobody knows which one it was. Beside a call that kills
processes an innocent one could be charged until it is given up. So the last chance is taken alone: who is charged then
has done it. Calls that only wait for others (their place is lent) do not count.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from brokers.messages import Ack, AckKind, Delivery
from orchestrator.errors import OrchestratorError
from orchestrator.runnables import registry
from orchestrator.runs.run_ids import new_run_id
from orchestrator.slots.loop_places import LoopPlaces
from orchestrator.slots.running import RunningCall

if TYPE_CHECKING:
    from orchestrator.slots.lane_host import LaneHost

log = logging.getLogger("orchestrator.slots")
PATIENCE_SECONDS: Final = 5.0  # for calls that run; no new ones begin meanwhile
LATER_MS: Final = 1000  # until it is tried again, perhaps in another process
POLL_SECONDS: Final = 0.01


class Alone:
    """Who runs alone in a process, and who waits for it.

    Args:
        host: the calls of this process.
        places: of the async calls among them.
        max_deliveries: after so many a call is given up, if its task says nothing else.
    """

    def __init__(self, host: LaneHost, places: LoopPlaces, max_deliveries: int) -> None:
        self._host, self._places, self._max_deliveries = host, places, max_deliveries
        self._turn = threading.Lock()
        self.ticket: str | None = None  # of the call that runs alone, or is about to

    def needed(self, delivery: Delivery) -> bool:
        """Whether the next crash of a call would be its last."""
        return 0 < delivery.crashes >= min(2, self._most_crashes(delivery.task) - 1)

    def _most_crashes(self, task_key: str) -> int:
        try:
            most = registry.find(task_key).options.max_deliveries
        except OrchestratorError:
            most = None
        return most or self._max_deliveries

    def run(self, delivery: Delivery, run: Callable[[], None]) -> None:
        """Run a call when nothing else does; later, perhaps elsewhere, where others do not end soon."""
        if not self._enter(delivery):
            return self.later(delivery)
        log.warning("run %s was there when %d processes died: it runs alone", delivery.run_id, delivery.crashes)
        try:
            run()
        finally:
            self._host.send_acks()  # before others begin, whose crash it would be charged with
            self._leave()

    def later(self, delivery: Delivery) -> None:
        """It cannot run alone now: it comes back in a moment, uncharged."""
        if self._host.draining:
            return self._host.hand_back(delivery)
        self._host.forget([delivery])
        nobody = new_run_id()  # "behind a run that the store does not know" is: after the delay
        behind = Ack(delivery.ticket, delivery.run_id, AckKind.BEHIND, b"", 0, LATER_MS, nobody)
        self._host.acks.add(behind)
        self._host.attention.ask()

    def _enter(self, delivery: Delivery) -> bool:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._turn.acquire(timeout=POLL_SECONDS):
            if self._host.draining or time.monotonic() > deadline:
                return False
        self.ticket = delivery.ticket
        while not self._is_quiet():
            if self._host.draining or time.monotonic() > deadline:
                self._leave()
                return False
            time.sleep(POLL_SECONDS)
        self._host.send_acks()  # calls that have ended are not charged if it kills the process
        return True

    def _leave(self) -> None:
        self.ticket = None
        self._turn.release()

    def _is_quiet(self) -> bool:
        return all(call.lent for call in list(self._host.running.values())) and self._places.taken == 0

    # -- the others ----------------------------------------------------------------------------------------------

    def keeps_out(self, ticket: str) -> bool:
        """Whether another call runs alone, and does not wait for one that may be this."""
        alone = self.ticket
        if alone is None or alone == ticket:
            return False
        call = self._host.running.get(alone)
        return call is None or not call.lent

    def wait_outside(self, ticket: str) -> bool:
        """Until no other call runs alone; False when the slots stop before."""
        while self.keeps_out(ticket):
            if self._host.draining:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def let_in(self, call: RunningCall) -> bool:
        """For a call that is among the running ones since a moment: False when it is not to run here."""
        ticket = call.delivery.ticket
        while self.keeps_out(ticket):  # each looks at the others after it has entered itself: one of two sees it
            self._host.fetched([call.delivery])  # it stays here, and is not taken for lost on its way
            self._host.running.pop(ticket, None)
            if not self.wait_outside(ticket):
                self._host.hand_back(call.delivery)
                return False
            if not (self._host.may_start(call.delivery) and self._host.begin(call)):
                return False
        return True
