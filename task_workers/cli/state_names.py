"""States as conditions of lists: a name that no run can have is a slip of the pen, not an empty list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

STATE_TYPES: Final = (
    "SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED", "PAUSED", "CANCELLING",
)  # fmt: skip
_FURTHER_NAMES: Final = (
    "AwaitingConcurrencySlot", "AwaitingRetry", "Cached", "Expired", "InfrastructurePending", "Late", "NotReady",
    "Retrying", "RolledBack", "Submitting", "Superseded", "Suspended", "TimedOut",
)  # fmt: skip


def refuse_unknown_names(names: Iterable[str]) -> None:
    """For a filter by state that found nothing. Names with ``*`` and ``?`` may mean any.

    States may have names of a flow's own (``Completed(name="Skipped")``): what was found proves that a name is one.

    Raises:
        click.UsageError: no run is in such a state, and it is none that the engine gives; with those that it gives.
    """
    if unknown := unknown_among(names):
        raise click.UsageError(
            f"--state {unknown[0]!r}: no run is in such a state, and no state of ours is called so; "
            f"the states: {', '.join(state_names())}"
        )


def state_names() -> list[str]:
    """The names of states that the engine gives."""
    return sorted([*(kind.capitalize() for kind in STATE_TYPES), *_FURTHER_NAMES])


def unknown_among(names: Iterable[str]) -> list[str]:
    """Those that the engine gives to no state; names with ``*`` and ``?`` may mean any.

    >>> unknown_among(["failed", "TimedOut", "Fialed", "*ed"])
    ['Fialed']
    """
    known = {name.lower() for name in state_names()}
    return [name for name in names if name.lower() not in known and not set(name) & set("*?[")]
