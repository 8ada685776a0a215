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
    "Retrying", "Submitting", "Superseded", "Suspended", "TimedOut",
)  # fmt: skip


def refuse_unknown_names(names: Iterable[str]) -> None:
    """For a filter by state that found nothing. Names with ``*`` and ``?`` may mean any.

    States may have names of a flow's own (``Completed(name="Skipped")``): what was found proves that a name is one.

    Raises:
        click.UsageError: no run is in such a state, and it is none that the engine gives; with those that it gives.
    """
    given = [kind.capitalize() for kind in STATE_TYPES] + list(_FURTHER_NAMES)
    known = {name.lower() for name in given}
    for name in names:
        if name.lower() not in known and not set(name) & set("*?["):
            states = ", ".join(sorted(given))
            raise click.UsageError(
                f"--state {name!r}: no run is in such a state, and no state of ours is called so; the states: {states}"
            )
