"""Suspending a flow run from outside: it is asked to, and does so at its next call of a task."""

from __future__ import annotations

import time
from typing import Final

from brokers.messages import Status
from brokers.stored import number, text
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.client.waiting import check_timeout
from orchestrator.errors import NotPausedError, ObjectNotFound
from orchestrator.inspection.flow_run_standings import shown_states
from orchestrator.pausing.pause import FOREVER_SECONDS, Pause, begin, has_ended, pause_id_of, read_answer
from orchestrator.pausing.signal import SuspendFlowRun

FIELD: Final = "suspend"  # of the flow run's record: number and timeout of what is asked for
LOOK_EVERY_SECONDS: Final = 1.0
HOUR: Final = 3600.0


def request_suspension(fleet: Fleet, flow_run_id: str, timeout: float | None = HOUR) -> None:
    """Ask a flow run that a worker runs to suspend itself.

    Args:
        fleet: whose.
        flow_run_id: its id.
        timeout: seconds for which it may be suspended, from its suspension on; ``None``: for ever.

    Raises:
        ObjectNotFound: the store knows none. NotPausedError: it does not run on a worker. ValueError: the timeout is
        negative. BrokerError.
    """
    check_timeout(timeout)
    fields = fleet.broker.flow_runs.read(flow_run_id)
    if not fields:
        raise ObjectNotFound(f"Flow run {flow_run_id!r} not found! It has expired, or never was in this namespace.")
    state = shown_states(fleet, {flow_run_id: fields})[flow_run_id]
    if state.type not in ("RUNNING", "PENDING", "SCHEDULED"):
        raise NotPausedError(f"flow run {flow_run_id} is {state.name}: there is nothing to suspend")
    (standing,) = fleet.broker.records.standings([flow_run_id])
    if standing.status == Status.UNKNOWN:
        raise NotPausedError(
            f"flow run {flow_run_id} runs in the program that called it, and would end with it: only runs on workers "
            "can be suspended"
        )
    count = int(number(fields.get(FIELD, b"").partition(b" ")[0]) or 0) + 1
    seconds = FOREVER_SECONDS if timeout is None else min(timeout, FOREVER_SECONDS)
    fleet.broker.flow_runs.write(flow_run_id, {FIELD: f"{count} {seconds:.3f}"})


class SuspensionRequests:
    """What the process of a flow run looks at before it calls a task.

    Args:
        flow_run_id: of the run.
    """

    def __init__(self, flow_run_id: str) -> None:
        self._flow_run_id = flow_run_id
        self._looked_at = time.monotonic()

    def follow(self) -> None:
        """Suspend the run if somebody asks for it; looks once a second at most. Raises SuspendFlowRun, BrokerError."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        fleet = current_fleet()
        fields = fleet.broker.flow_runs.read(self._flow_run_id)
        if FIELD not in fields:
            return
        count, _, seconds = text(fields[FIELD]).partition(" ")
        key = f"request {count}"
        pause_id = pause_id_of(self._flow_run_id, key)
        if read_answer(fleet, self._flow_run_id, pause_id)[0]:
            return
        until = time.time() + (number(seconds.encode()) or HOUR)
        begin(fleet, self._flow_run_id, Pause(pause_id, key, until, suspended=True))
        if not has_ended(fleet, pause_id):  # one that has timed out is over as well
            raise SuspendFlowRun(pause_id)
