"""The child flows of a flow run that completed: they are not run again by another attempt of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.states import State

if TYPE_CHECKING:
    from orchestrator.runnables.runnable import Runnable

Child = tuple[Callable[..., Any], dict[str, Any], State[Any]]


class ChildRuns:
    """Those of one flow run. Safe for any number of threads."""

    def __init__(self) -> None:
        self._now: list[Child] = []
        self._before: list[Child] = []  # those that completed under an earlier attempt
        self._lock = threading.Lock()

    def begin_attempt(self) -> None:
        """The parent's function is about to be called, for the first time or again."""
        with self._lock:
            self._before += self._now
            self._now = []

    def keep(self, flow: Runnable, parameters: dict[str, Any], state: State[Any]) -> None:
        """One has completed."""
        with self._lock:
            self._now.append((flow.fn, parameters, state))

    def completed_before(self, flow: Runnable, parameters: dict[str, Any]) -> State[Any] | None:
        """How this one completed under an earlier attempt, with the same parameters; each answer is given once."""
        with self._lock:
            for index, (fn, before, state) in enumerate(self._before):
                if fn is flow.fn and _are_equal(before, parameters):
                    self._now.append(self._before.pop(index))
                    return state
        return None


def _are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays, frames: no single answer
        return False
