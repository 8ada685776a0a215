"""Finds runs, newest first, by walking back through the journal and reading their records.

This needs no index, but is slow for a filter that few runs match: a walk examines a bounded number of runs and returns
a cursor. The dashboard, which searches all the time, keeps an index instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from brokers.base import Journal
from brokers.records import SUBMITTED
from brokers.schema import is_flow_call
from orchestrator.client.fleet import Fleet
from orchestrator.inspection.views import RunView, views_of
from orchestrator.runs.run_ids import short_name

MAX_LOOKED_AT: Final = 20_000
_ENTRIES_PER_PAGE: Final = 100
_CURSOR: Final = re.compile(r"(\+|\d{1,16}-\d{1,16}):\d{1,9}")
_RUNS_PER_TRIP: Final = 500


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to find; an empty field matches all. Times are aware; names may hold ``*`` and ``?``."""

    states: tuple[str, ...] = ()  # types or names, any case: "failed", "timedout"
    tasks: tuple[str, ...] = ()  # keys, or names without their modules
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # all of them
    workers: tuple[str, ...] = ()
    flow_run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""  # in the id, the task's name or the message, any case

    def matches(self, run: RunView) -> bool:
        """Whether a run matches.

        >>> RunFilter(states=("failed",)).states
        ('failed',)
        """
        return (
            not is_flow_call(run.task)
            and (
                not self.states
                or {run.state_type.lower(), run.state_name.lower()} & {s.lower() for s in self.states} != set()
            )
            and (_any(self.tasks, run.task) or _any(self.tasks, short_name(run.task)))
            and _any(self.queues, run.queue)
            and set(self.tags) <= set(run.tags)
            and _any(self.workers, run.worker or "")
            and (self.flow_run_id is None or run.flow_run_id == self.flow_run_id)
            and (self.since is None or (run.created is not None and run.created >= self.since))
            and (self.until is None or (run.created is not None and run.created <= self.until))
            and (not self.text or self.text.lower() in f"{run.id} {run.task} {run.message or ''}".lower())
        )


def _any(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found, newest first.

    ``cursor`` is where the next walk continues, ``None`` at the end of the journal; ``looked_at`` is the number of runs
    examined.
    """

    runs: list[RunView]
    cursor: str | None
    looked_at: int


def walk_runs(
    fleet: Fleet,
    wanted: RunFilter | None = None,
    *,
    limit: int = 50,
    cursor: str | None = None,
    most: int = MAX_LOOKED_AT,
) -> Walk:
    """The newest runs that match.

    Args:
        fleet: the fleet that keeps the runs.
        wanted: which runs; all unless given.
        limit: the most runs to return.
        cursor: the cursor of an earlier walk.
        most: the most runs to examine.

    Raises:
        ValueError: the cursor is none.
        BrokerError: the server does not respond.
    """
    wanted = wanted or RunFilter()
    found: list[RunView] = []
    looked = 0
    for begun in _batches(fleet.broker.journal, cursor):
        views = {view.id: view for view in views_of(fleet, [run_id for run_id, _ in begun])}
        for run_id, after in begun:
            looked += 1
            view = views.get(run_id)
            if view is not None and wanted.matches(view):
                found.append(view)
            if len(found) >= limit or looked >= most:
                return Walk(found, after, looked)
        if wanted.since is not None and views and all(_is_before(view, wanted.since) for view in views.values()):
            break
    return Walk(found, None, looked)


def _is_before(view: RunView, moment: datetime) -> bool:
    return view.created is not None and view.created < moment


def _batches(journal: Journal, cursor: str | None) -> Iterator[list[tuple[str, str]]]:
    """Submitted runs, newest first, in batches: the run id, and the cursor behind it."""
    batch: list[tuple[str, str]] = []
    for run in _submitted(journal, cursor):
        batch.append(run)
        if len(batch) == _RUNS_PER_TRIP:
            yield batch
            batch = []
    if batch:
        yield batch


def _submitted(journal: Journal, cursor: str | None) -> Iterator[tuple[str, str]]:
    entry, _, seen = (cursor or "+:0").rpartition(":")
    if not _CURSOR.fullmatch(cursor or "+:0"):
        raise ValueError(f"{cursor!r} is no place among the runs: use what an earlier list gave")
    skip, first = int(seen), entry
    while True:
        entries = journal.backwards(first, _ENTRIES_PER_PAGE)
        for position, changes in entries:
            run_ids = [change.run_id for change in reversed(changes) if change.status == SUBMITTED]
            start = skip if position == entry else 0
            for at in range(start, len(run_ids)):
                yield run_ids[at], f"{position}:{at + 1}"
        if len(entries) < _ENTRIES_PER_PAGE:
            return
        first = f"({entries[-1][0]}"
