"""Finds what nobody looks after: consumers that hold calls without a heartbeat, dead letters without a record."""

from __future__ import annotations

import logging
from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore

log = logging.getLogger("orchestrator.chores")
LEASES_BETWEEN: Final = 6


class Janitor(Chore):
    """Any number of them may run. A server that lost its last second may know a claim but not its worker's beat."""

    name = "janitor"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def run_once(self) -> float:
        settings = self._fleet.settings
        found = self._fleet.broker.consumers.tidy(
            3 * settings.lease_seconds, settings.dead_letter_ttl_seconds, settings.events_ttl_seconds
        )
        if found:
            log.warning("%d workers hold calls though nobody beats for them: they are taken over", found)
        return LEASES_BETWEEN * settings.lease_seconds
