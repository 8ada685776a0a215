"""Several states at once: counted, or recognized among other values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

from orchestrator.runs.states.state import State
from orchestrator.runs.states.types import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, StateType


class StateGroup:
    """Several states, counted. Follows Prefect 3 (``prefect.states.StateGroup``).

    >>> group = StateGroup([Completed(), Failed(), Running()])
    >>> group.total_count, group.fail_count, group.all_final(), group.any_failed()
    (3, 1, False, True)
    """

    def __init__(self, states: Iterable[State[Any]]) -> None:
        self.states = list(states)
        self.type_counts = {kind: sum(state.type is kind for state in self.states) for kind in StateType}
        self.total_count = len(self.states)
        self.cancelled_count = self.type_counts[CANCELLED]
        self.paused_count = self.type_counts[PAUSED]
        self.final_count = sum(state.is_final() for state in self.states)
        self.not_final_count = self.total_count - self.final_count

    @property
    def fail_count(self) -> int:
        """How many failed or crashed."""
        return self.type_counts[FAILED] + self.type_counts[CRASHED]

    def all_completed(self) -> bool:
        return self.type_counts[COMPLETED] == self.total_count

    def all_final(self) -> bool:
        return self.final_count == self.total_count

    def any_cancelled(self) -> bool:
        return self.cancelled_count > 0

    def any_failed(self) -> bool:
        return self.fail_count > 0

    def any_paused(self) -> bool:
        return self.paused_count > 0

    def counts_message(self) -> str:
        """The counts in one line: ``total=3 failed=1 ...``."""
        counted = [f"total={self.total_count}"]
        if self.not_final_count:
            counted.append(f"not_final={self.not_final_count}")
        counted += [f"{kind.value.lower()}={count}" for kind, count in self.type_counts.items() if count]
        return " ".join(counted)

    def __repr__(self) -> str:
        return f"StateGroup<{self.counts_message()}>"


def is_state(value: object) -> TypeGuard[State[Any]]:
    """Whether ``value`` is a :class:`State`."""
    return isinstance(value, State)


def is_state_iterable(value: object) -> TypeGuard[list[State[Any]] | tuple[State[Any], ...] | set[State[Any]]]:
    """Whether ``value`` is a list, tuple or set with at least one member, and all of them states.

    >>> from orchestrator.states import Completed, Failed
    >>> is_state_iterable([Completed(), Failed()]), is_state_iterable([]), is_state_iterable([Completed(), 1])
    (True, False, False)
    """
    return isinstance(value, list | tuple | set | frozenset) and bool(value) and all(map(is_state, value))
