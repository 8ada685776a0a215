"""Which kinds of events somebody wants, so that of others no record is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from orchestrator.events.names import FLOW_RUN, PREFECTS, TASK_RUN, as_prefect

_FLOW_RUNS: Final = f"{PREFECTS}{FLOW_RUN}."
_TASK_RUNS: Final = f"{PREFECTS}{TASK_RUN}."


class Interest(NamedTuple):
    """Kinds of events."""

    flow_runs: bool = True
    task_runs: bool = True
    others: bool = True

    @property
    def in_runs(self) -> bool:
        """Whether the journal is to be read."""
        return self.flow_runs or self.task_runs


EVERYTHING: Final = Interest()


def interest_in(patterns: Iterable[str]) -> Interest:
    """What may fit one of these patterns of names; no pattern at all wants everything.

    >>> interest_in(["orchestrator.flow-run.Failed"])
    Interest(flow_runs=True, task_runs=False, others=False)
    >>> interest_in(["prefect.*"])
    Interest(flow_runs=True, task_runs=True, others=True)
    """
    wanted = [as_prefect(pattern) for pattern in patterns]
    if not wanted:
        return EVERYTHING
    return Interest(
        any(_may_fit(pattern, _FLOW_RUNS) for pattern in wanted),
        any(_may_fit(pattern, _TASK_RUNS) for pattern in wanted),
        any(not pattern.startswith((_FLOW_RUNS, _TASK_RUNS)) for pattern in wanted),
    )


def _may_fit(pattern: str, kind: str) -> bool:
    """Whether a name that begins so may fit the pattern."""
    if pattern.startswith("!"):
        return True
    return pattern.startswith(kind) or (pattern.endswith("*") and kind.startswith(pattern[:-1]))
