"""Queues delayed calls and retries when they are due, ends what has expired, goes on releasing large fan-outs."""

from __future__ import annotations

from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore

LONGEST_SLEEP_SECONDS: Final = 0.2  # a shorter delay may be submitted anywhere at any time


class Mover(Chore):
    """Any number of them may run: a run is moved by whoever comes first."""

    name = "mover"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def run_once(self) -> float:
        next_due = self._fleet.broker.runs.move_due()
        return LONGEST_SLEEP_SECONDS if next_due is None else min(next_due, LONGEST_SLEEP_SECONDS)
