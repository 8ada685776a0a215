"""Finding runs, newest first, by walking back through the journal and reading the records on the way.

Nothing has to be kept for it, and it needs no server of its own, but a filter that few runs match makes the way long:
a walk looks at a bounded number of runs and says where to go on. The dashboard, which has to answer such questions
all day, keeps an index instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from brokers.redis.journal import SUBMITTED, Journal
from orchestrator.fleet import Fleet
from orchestrator.inspection.views import RunView, views_of

LOOK_AT_MOST: Final = 20_000
_ENTRIES_PER_PAGE: Final = 100
_RUNS_PER_TRIP: Final = 500


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are meant; what is empty means all. Times are aware; names may hold ``*`` and ``?``."""

    states: tuple[str, ...] = ()  # types or names, any case: "failed", "timedout"
    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()  # all of them
    workers: tuple[str, ...] = ()
    flow_run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""  # in the id, the task's name or the message, any case

    def matches(self, run: RunView) -> bool:
        """Whether a run is meant.

        >>> RunFilter(states=("failed",)).states
        ('failed',)
        """
        return (
            (
                not self.states
                or {run.state_type.lower(), run.state_name.lower()} & {s.lower() for s in self.states} != set()
            )
            and _any(self.tasks, run.task)
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

    ``cursor`` is where the next one goes on, ``None`` at the end of what is kept; ``looked_at`` says how many runs were
    looked at for it.
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
    most: int = LOOK_AT_MOST,
) -> Walk:
    """The newest runs that match.

    Args:
        fleet: whose runs.
        wanted: which; all unless given.
        limit: how many at most.
        cursor: where an earlier walk stopped.
        most: how many runs are looked at before it gives up for now.

    Raises:
        BrokerError: the server does not answer.
    """
    wanted = wanted or RunFilter()
    found: list[RunView] = []
    looked = 0
    for begun in _batches(Journal(fleet.broker), cursor):
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
