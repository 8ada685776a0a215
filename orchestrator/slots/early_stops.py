"""Runs that were asked to stop before the reply that brings their calls."""

from __future__ import annotations

from typing import Final

MOST_KEPT: Final = 1000


class EarlyStops:
    """Kept until their calls come; of those that never come, the last 1000. Safe to use from several threads."""

    def __init__(self) -> None:
        self._run_ids: dict[str, None] = {}

    def add(self, run_id: str) -> None:
        """A run that is not here is to stop."""
        self._run_ids[run_id] = None
        for oldest in list(self._run_ids)[:-MOST_KEPT]:
            self._run_ids.pop(oldest, None)

    def take(self, run_id: str) -> bool:
        """Whether this run, whose call has come, was asked to stop; asked once, it is forgotten."""
        return bool(self._run_ids) and self._run_ids.pop(run_id, self) is None
