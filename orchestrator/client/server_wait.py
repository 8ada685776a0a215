"""Who works or serves waits for a server that is not there yet: after a reboot either may be first."""

from __future__ import annotations

import logging
import threading
from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerUnavailable

LONGEST_PAUSE_SECONDS: Final = 2.0
FIRST_PAUSE_SECONDS: Final = 0.1


def wait_for_server(
    fleet: Fleet, stopped: threading.Event | None = None, who: str = "the worker", logger: str = "orchestrator.worker"
) -> bool:
    """Return when the server answers; says once that it is waited for, and why.

    Args:
        fleet: whose server.
        stopped: set when the server is not wanted any more.
        who: waits, for people.
        logger: the name of the logger of that line.

    Returns:
        False when it was stopped before.

    Raises:
        BrokerError: the server answers and refuses us, or the private server cannot be started: waiting does not help.
    """
    stopped, log = stopped or threading.Event(), logging.getLogger(logger)
    pause, logged = FIRST_PAUSE_SECONDS, False
    while not stopped.is_set():
        try:
            fleet.broker.health.ping()
        except BrokerUnavailable as error:
            if not logged:
                log.warning("%s; %s waits for it", error, who)
            logged = True
            stopped.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            continue
        if logged:
            log.info("the server answers: %s begins", who)
        return True
    return False
