"""Does actions in this process for a while, where no other does: a script sends its messages before it ends."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

import orchestrator.automations.action_call  # noqa: F401  # makes the calls of actions known
from orchestrator.automations.deliveries import Delivery, deliveries_of
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError
from orchestrator.maintenance.reactor import Reactor
from orchestrator.slots.action_runner import ActionRunner

log = logging.getLogger("orchestrator.automations")
POLL_SECONDS: Final = 0.05
AT_THE_END_SECONDS: Final = 15.0  # how long the end of the process waits for what it has sent


class _Here:
    """The one runner of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fleet: Fleet | None = None
        self._runner: ActionRunner | None = None
        self._reactor: Reactor | None = None

    def begin(self, fleet: Fleet) -> None:
        with self._lock:
            if self._fleet is not fleet:
                self._fleet, self._reactor = fleet, Reactor(fleet)
                self._runner = ActionRunner(fleet, self._reactor)
                self._runner.start()
                atexit.register(self.end)
            assert self._runner is not None
            self._runner.offer()

    def end(self) -> None:
        """Wait until nothing waits that could be done now, then stop."""
        with self._lock:
            runner, fleet = self._runner, self._fleet
            self._runner = self._fleet = None
        if runner is None or fleet is None or fleet.stale_after_fork:
            return
        deadline = time.monotonic() + AT_THE_END_SECONDS
        try:
            while time.monotonic() < deadline and (runner.busy or fleet.broker.reactions.look(0).calls):
                runner.offer()
                time.sleep(POLL_SECONDS)
        except BrokerError as error:
            log.debug("actions are left to others: %s", error)
        runner.stop()


_here = _Here()


def wait_for_actions(fleet: Fleet, calls: Sequence[tuple[str, str]], seconds: float) -> list[Delivery]:
    """Wait until these calls are over or are tried again later, done in this process where no other does them.

    Raises:
        BrokerError: the server does not answer.
    """
    do_actions_if_nobody_does(fleet)
    deadline = time.monotonic() + seconds
    while True:
        found = deliveries_of(fleet, calls)
        if all(one.ended or (one.tries and one.due) for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(POLL_SECONDS)


def finish() -> None:
    """Do what waits, as at the end of the process. Nothing, if nothing was begun here."""
    _here.end()


def do_actions_if_nobody_does(fleet: Fleet) -> None:
    """Where no worker lives, the calls of actions that this process sends are done in it, too.

    What fails is tried again by whichever worker or server is there later.
    """
    try:
        if fleet.worker or fleet.live_workers():
            return
        _here.begin(fleet)
    except BrokerError as error:
        log.warning("whether anybody does actions is not known: %s", error)
