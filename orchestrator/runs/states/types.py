"""The nine types of states."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class StateType(StrEnum):
    """The kind of a state. Compares equal to its name: ``StateType.FAILED == "FAILED"``."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


SCHEDULED: Final = StateType.SCHEDULED
PENDING: Final = StateType.PENDING
RUNNING: Final = StateType.RUNNING
COMPLETED: Final = StateType.COMPLETED
FAILED: Final = StateType.FAILED
CANCELLED: Final = StateType.CANCELLED
CRASHED: Final = StateType.CRASHED
PAUSED: Final = StateType.PAUSED
CANCELLING: Final = StateType.CANCELLING

TERMINAL: Final = frozenset((COMPLETED, FAILED, CANCELLED, CRASHED))
"""The types in which a run has ended."""
TERMINAL_STATES: Final = TERMINAL  # the name Prefect uses

NAMES: Final = {kind: kind.value.capitalize() for kind in StateType}
"""The name of a state that was given none."""
