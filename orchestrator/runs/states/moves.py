"""The moves that a run may make from one type of state to the next."""

from __future__ import annotations

from typing import Any, Final

from orchestrator.runs.states.state import State
from orchestrator.runs.states.types import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    StateType,
)

_OPEN: Final = frozenset((SCHEDULED, PENDING, RUNNING, PAUSED, CANCELLING))

ALLOWED_MOVES: Final[dict[StateType, frozenset[StateType]]] = {
    SCHEDULED: _OPEN | TERMINAL,
    PENDING: _OPEN | TERMINAL,
    RUNNING: _OPEN | TERMINAL,
    PAUSED: (_OPEN | TERMINAL) - {COMPLETED},
    CANCELLING: TERMINAL | {CANCELLING},
    COMPLETED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
    CRASHED: frozenset(),
}
"""From each type, the types that may follow."""


def may_move(before: StateType | State[Any] | None, after: StateType | State[Any]) -> bool:
    """Whether a run in ``before`` may go to ``after``; ``None`` is a run that has no state yet and may go anywhere.

    >>> may_move(StateType.RUNNING, StateType.COMPLETED), may_move(StateType.COMPLETED, StateType.RUNNING)
    (True, False)
    """
    if before is None:
        return True
    return _type_of(after) in ALLOWED_MOVES[_type_of(before)]


def _type_of(value: StateType | State[Any]) -> StateType:
    return value.type if isinstance(value, State) else value
