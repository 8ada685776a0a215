"""Writes events of what nobody does: lost workers, deployments and pools that are ready or not any more, late runs."""

from __future__ import annotations

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.ticker import SERVED_WITHIN_SECONDS


class EventWatch(Chore):
    """Any number of them may run: of all of them one looks, and the next one a heartbeat later."""

    name = "event-watch"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def run_once(self) -> float:
        settings = self._fleet.settings
        self._fleet.broker.events.watch(
            every_seconds=settings.beat_seconds,
            lease_seconds=settings.lease_seconds,
            late_after_seconds=settings.late_after_seconds,
            served_within_seconds=SERVED_WITHIN_SECONDS,
        )
        return settings.beat_seconds
