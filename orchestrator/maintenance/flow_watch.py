"""Ends the flow runs whose process sends no heartbeat any more, and has hooks called of those that were killed."""

from __future__ import annotations

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.maintenance.hook_calls import send_hook_calls


class FlowWatch(Chore):
    """Any number of them may run: a flow run is ended by whoever comes first."""

    name = "flow-watch"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def run_once(self) -> float:
        self._fleet.flow_reports.end_silent_runs()
        send_hook_calls(self._fleet)
        return self._fleet.settings.beat_seconds
