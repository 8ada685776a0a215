"""The events of a run as it goes on: state changes, progress, log lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from orchestrator.client.fleet import Fleet
    from orchestrator.observability.log_shipper import LogLine

POLL_SECONDS: Final = 0.25
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


class StateChange(NamedTuple):
    """The run entered a state."""

    type: str
    name: str
    message: str | None
    task: str

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.type in ENDED


class LogLineEvent(NamedTuple):
    """The run logged a line."""

    timestamp: datetime
    level: str
    message: str


class ProgressUpdate(NamedTuple):
    """The run reported progress."""

    done: float
    total: float | None
    note: str | None


RunEvent: TypeAlias = StateChange | LogLineEvent | ProgressUpdate


def is_known(fleet: Fleet, run_id: str) -> bool:
    """Whether there is a record of this task run or flow run."""
    return _state_of(fleet, run_id) is not None


def follow_run(
    fleet: Fleet, run_id: str, until_end: bool = True, timeout_seconds: float | None = None
) -> Iterator[RunEvent]:
    """Yield the events of a run: its present state and log first, its final state last.

    An unknown or expired run yields nothing more, one that goes on when the timeout has passed neither.

    Raises:
        BrokerError: the server does not respond.
    """
    stop_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    before: StateChange | None = None
    seen: Sequence[LogLine] = ()
    reported: Any = None
    while True:
        state = _state_of(fleet, run_id)
        lines = fleet.logs.read(run_id)  # after the state: the lines of a run that has ended are complete
        if state is not None and not state.ended and state != before:
            yield state
        for line in _new_lines(seen, lines):
            yield LogLineEvent(*line)
        seen = lines
        progress = _progress(fleet, run_id)
        if progress is not None and progress != reported:
            yield progress
            reported = progress
        if state is None or state.ended:
            if state is not None:
                yield state
            return
        before = state
        if not until_end or (stop_at is not None and time.monotonic() >= stop_at):
            return
        time.sleep(POLL_SECONDS if stop_at is None else min(POLL_SECONDS, max(0.0, stop_at - time.monotonic())))


def _state_of(fleet: Fleet, run_id: str) -> StateChange | None:
    from brokers.schema import is_flow_call
    from orchestrator.errors import BrokerRefused
    from orchestrator.inspection import flow_run_rows, views_of

    views = views_of(fleet, [run_id])
    if views and not is_flow_call(views[0].task):
        (view,) = views
        return StateChange(view.state_type, view.state_name, view.message, view.task)
    if not views:
        with suppress(BrokerRefused):  # this user of the server may only read
            fleet.flow_reports.end_silent_runs()
    for row in flow_run_rows(fleet, [run_id]):
        return StateChange(row.state_type, row.state_name, row.message or None, row.flow)
    return None


def _progress(fleet: Fleet, run_id: str) -> ProgressUpdate | None:
    progress = fleet.logs.progress_of([run_id]).get(run_id)
    return ProgressUpdate(progress.done, progress.total, progress.note) if progress is not None else None


def _new_lines(seen: Sequence[LogLine], lines: Sequence[LogLine]) -> Sequence[LogLine]:
    """The lines that are new; a run keeps only its last lines, so the first may be gone.

    >>> _new_lines(["a", "b"], ["b", "c"]), _new_lines(["a"], ["a", "b"]), _new_lines(["a"], ["x"])
    (['c'], ['b'], ['x'])
    """
    for dropped in range(len(seen)):
        kept = len(seen) - dropped
        if list(lines[:kept]) == list(seen[dropped:]):
            return lines[kept:]
    return lines
