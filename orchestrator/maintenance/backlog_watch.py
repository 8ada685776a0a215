"""Whether there is anything left to do, for a worker in a burst."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError

log = logging.getLogger("orchestrator.worker")


class BacklogWatch:
    """Looks at some queues now and then.

    Args:
        fleet: whose store.
        queues: which queues.
    """

    def __init__(self, fleet: Fleet, queues: Sequence[str]) -> None:
        self._fleet, self._queues = fleet, queues
        self._empty_before = False

    def is_empty(self, consumers: Sequence[str]) -> bool:
        """Whether no call waits and none of these consumers holds one, twice in a row.

        Twice, because a call that ends may queue others a moment later (a retry, through the mover). What other
        workers run is theirs, and what is delayed for longer is left to the worker that is there then.
        """
        try:
            left = self._fleet.broker.queues.backlog(self._queues)
        except BrokerError as error:
            log.debug("the queues could not be looked at: %s", error)
            self._empty_before = False
            return False
        empty = not left.waiting and not left.due_soon and not any(left.held.get(name) for name in consumers)
        before, self._empty_before = self._empty_before, empty
        return empty and before
