"""The state of a flow run that people see: what its record says, and where its call stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from brokers.messages import Status
from brokers.stored import number

STARTING: Final = ("Submitting", "InfrastructurePending")
"""A worker of containers has the run, and starts something for it."""
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
_ENDS: Final = {
    Status.COMPLETED: ("COMPLETED", "Completed"),
    Status.FAILED: ("FAILED", "Failed"),
    Status.CANCELLED: ("CANCELLED", "Cancelled"),
    Status.CRASHED: ("CRASHED", "Crashed"),
    Status.NOT_READY: ("PENDING", "NotReady"),
}


class ShownState(NamedTuple):
    """Type and name of a state."""

    type: str
    name: str


def shown_state(
    fields: Mapping[str, bytes], status: bytes, now: float, late_after_seconds: float, *, is_held: bool = False
) -> ShownState:
    """The state of a flow run.

    Args:
        fields: its record.
        status: of its call; ``Status.UNKNOWN`` for one that has none.
        now: unix seconds.
        late_after_seconds: it is Late when it should have begun so long ago.
        is_held: a worker has the call, which has not begun.

    Never Late: what waits for a place under a limit, and what a worker has.

    >>> waits = {"type": b"SCHEDULED", "state": b"Scheduled", "expected": b"100"}
    >>> [shown_state(waits, Status.QUEUED, moment, 15).name for moment in (90, 110, 120)]
    ['Scheduled', 'Scheduled', 'Late']
    >>> shown_state(waits, Status.LIMITED, 120, 15)
    ShownState(type='SCHEDULED', name='AwaitingConcurrencySlot')
    >>> starting = {"type": b"PENDING", "state": b"InfrastructurePending"}
    >>> [shown_state(starting, Status.QUEUED, 0, 15, is_held=held).name for held in (True, False)]
    ['InfrastructurePending', 'Scheduled']
    >>> failed = {"type": b"FAILED", "state": b"Failed"}
    >>> [shown_state(failed, Status.QUEUED, 0, 15, is_held=held).name for held in (True, False)]
    ['Failed', 'AwaitingRetry']
    """
    kind, name = _text(fields, "type"), _text(fields, "state")
    if name in STARTING and not is_held and status in (Status.QUEUED, Status.DELAYED, Status.LIMITED):
        kind, name = "SCHEDULED", "Scheduled"  # that worker is gone
    recorded = ShownState(kind, name or kind.capitalize())
    if kind in ENDED:
        if status in (Status.QUEUED, Status.DELAYED) and not is_held:  # it was queued again after its end
            return ShownState("SCHEDULED", "AwaitingRetry")
        return recorded
    if status in _ENDS:
        return ShownState(*_ENDS[status])
    if status == Status.CANCELLING:
        return ShownState("CANCELLING", "Cancelling")
    if kind not in ("SCHEDULED", "PENDING") or name not in ("Scheduled", "Pending", ""):
        return recorded
    if status == Status.LIMITED:
        return ShownState("SCHEDULED", "AwaitingConcurrencySlot")
    if status == Status.RUNNING:
        return ShownState("RUNNING", "Running")
    if is_held:
        return ShownState("PENDING", "Pending")
    expected = number(fields.get("expected"))
    if expected is not None and status in (Status.QUEUED, Status.DELAYED) and now > expected + late_after_seconds:
        return ShownState("SCHEDULED", "Late")
    return recorded


def _text(fields: Mapping[str, bytes], name: str) -> str:
    return fields.get(name, b"").decode("utf-8", "replace")
