"""Makes known which calls the schedules of deployments make; imported by whoever fires schedules, also without flows.

The rest of this room is loaded with the first such call.
"""

from __future__ import annotations

from collections.abc import Sequence

from brokers.messages import Envelope
from orchestrator.client.fleet import Fleet
from orchestrator.scheduling.calls import TickRun, register_owner
from orchestrator.scheduling.record import ScheduleRecord


def _calls_of_deployment(fleet: Fleet, schedule: ScheduleRecord, runs: Sequence[TickRun]) -> list[Envelope]:
    from orchestrator.deployments.schedules import calls_of_deployment

    return calls_of_deployment(fleet, schedule, runs)


register_owner("d", _calls_of_deployment)
