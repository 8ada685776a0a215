"""Questions that the type and the name of a state answer."""

from __future__ import annotations

from typing import Any

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


class StatePredicates:
    """The yes-or-no questions that a state answers by its type and its name."""

    __slots__ = ()

    type: StateType
    name: str
    message: str | None
    data: Any

    def is_scheduled(self) -> bool:
        return self.type is SCHEDULED

    def is_pending(self) -> bool:
        return self.type is PENDING

    def is_running(self) -> bool:
        return self.type is RUNNING

    def is_completed(self) -> bool:
        return self.type is COMPLETED

    def is_failed(self) -> bool:
        return self.type is FAILED

    def is_crashed(self) -> bool:
        return self.type is CRASHED

    def is_cancelled(self) -> bool:
        return self.type is CANCELLED

    def is_cancelling(self) -> bool:
        return self.type is CANCELLING

    def is_paused(self) -> bool:
        return self.type is PAUSED

    def is_final(self) -> bool:
        """Whether the run has ended: Completed, Failed, Cancelled or Crashed."""
        return self.type in TERMINAL

    def is_settled(self) -> bool:
        """Whether nothing more will happen to the run: it has ended, or is NotReady and will never start (ours)."""
        return self.type in TERMINAL or self.is_not_ready()

    def is_not_ready(self) -> bool:
        """Whether the run will never start because an upstream did not complete (ours)."""
        return self.type is PENDING and self.name == "NotReady"
