"""Takes the calls of actions: one at a time, in a thread beside whatever else the process does, while there are some.

Every process that runs chores has one. It costs nothing while no call waits: the reactor, which looks now and then,
says when one does; the slot is given up when none has come for a while.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Final

from brokers.facets.reactions import ACTION_QUEUE
from brokers.schema import ACTION_CALL
from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.heartbeat import Heartbeat
from orchestrator.maintenance.reactor import Reactor
from orchestrator.maintenance.rescue import Rescue
from orchestrator.runnables import registry
from orchestrator.slots.pool import Slots, SlotsOptions

log = logging.getLogger("orchestrator.automations")
NEVER_SECONDS: Final = 3600.0
LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 12.0  # a message takes 10 s at most


class ActionRunner(Chore):
    """See the module.

    Args:
        fleet: where the calls are.
        reactor: says when some wait.
    """

    name = "action-runner"

    def __init__(self, fleet: Fleet, reactor: Reactor) -> None:
        super().__init__()
        self._fleet = fleet
        self._waiting = False
        self._used_at = 0.0
        self._slots: Slots | None = None
        self._chores: list[Chore] = []
        reactor.when_calls_wait(self.offer)

    def offer(self) -> None:
        """There are calls that nobody has taken."""
        self._waiting = True
        self.wake()

    @property
    def busy(self) -> bool:
        """Whether it does something, or is about to."""
        return self._waiting or (self._slots is not None and bool(self._slots.running_calls))

    def run_once(self) -> float:
        now = time.monotonic()
        if self._waiting or (self._slots is not None and self._slots.running_calls):
            self._used_at = now
        self._waiting = False
        if self._slots is None:
            if self._used_at != now or not registry.is_built_in(ACTION_CALL):  # it is left to those who know it
                return NEVER_SECONDS
            self._begin()
        elif now - self._used_at > IDLE_SECONDS:
            self._end()
            return NEVER_SECONDS
        return LOOK_SECONDS

    def stop(self) -> None:
        super().stop()
        self._end()

    def _begin(self) -> None:
        """Raises BrokerError: it is tried again soon."""
        options = SlotsOptions(
            (ACTION_QUEUE,), 1, consumer=f"{secrets.token_hex(6)}.actions", beside=True, for_flow_runs=True
        )
        slots, rescue = Slots(self._fleet, options), Rescue(self._fleet)
        heartbeat = Heartbeat(self._fleet, lambda: {slots.consumer: {}}, rescue.take_over)
        heartbeat.run_once()  # alive before the first claim
        slots.start()
        for chore in (heartbeat, rescue):
            chore.start()
        self._slots, self._chores = slots, [heartbeat, rescue]

    def _end(self) -> None:
        slots, self._slots = self._slots, None
        if slots is None:
            return
        slots.stop(GRACE_SECONDS)
        for chore in self._chores:
            chore.stop()
