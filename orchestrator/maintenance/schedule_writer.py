"""Writes the schedules that this process's app declares to the store, once, as soon as the store answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from orchestrator.client.fleet import Fleet
from orchestrator.maintenance.chore import Chore
from orchestrator.scheduling.applying import AppliedSchedule, apply_declarations
from orchestrator.scheduling.declarations import declarations

log = logging.getLogger("orchestrator.schedules")
_LEVELS: Final = {
    "created": logging.INFO,
    "changed": logging.INFO,
    "deleted": logging.INFO,
    "vanished": logging.WARNING,
    "older": logging.WARNING,
    "taken": logging.WARNING,
    "refused": logging.ERROR,
}
_SENTENCES: Final = {
    "vanished": "it still fires, until `orchestrator schedule apply -A APP --prune`",
    "older": "it stays as that has written it (`orchestrator schedule apply -A APP --force` writes this one)",
}


class ScheduleWriter(Chore):
    """Of a worker that has imported its app. Any number may do it at the same time."""

    name = "schedule-writer"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def run_once(self) -> float:
        log_applied(apply_declarations(self._fleet, declarations()))
        self._stopping.set()
        return 0.0


def log_applied(applied: Iterable[AppliedSchedule]) -> None:
    """A line for each schedule of which there is something new to say."""
    for one in applied:
        if one.what in _LEVELS and one.is_news:
            why = "; ".join(filter(None, (one.why, _SENTENCES.get(one.what))))
            log.log(_LEVELS[one.what], "schedule %r: %s%s", one.name, one.what, f": {why}" if why else "")
