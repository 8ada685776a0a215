"""The index of runs: a SQLite file in a temporary folder that one thread keeps in step with the journal.

It is rebuilt at every start and corrected by what pages read, so it is never wrong for long; the store stays the truth.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from brokers.threads import unending
from orchestrator.client.fleet import Fleet
from orchestrator.errors import BrokerError, BrokerRefused
from orchestrator.inspection import RunView
from orchestrator.runs.run_ids import short_name
from orchestrator.server.index import search
from orchestrator.server.index.chart import Chart
from orchestrator.server.index.encoding import NEWEST, key_of, sequence_of
from orchestrator.server.index.feed import Feed
from orchestrator.server.index.history import history
from orchestrator.server.index.longest import longest
from orchestrator.server.index.tables import Tables
from orchestrator.server.view_models import Bucket, Count, Event, IndexState, RunQuery, TaskFacts

log = logging.getLogger("orchestrator.server.index")
POLL_SECONDS: Final = 0.25
AFTER_ERROR_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 30.0
SERVER_CHECK_SECONDS: Final = 5.0
STOP_SECONDS: Final = 10.0
CATCH_UP_SECONDS: Final = 0.5
CATCH_UP_POLL_SECONDS: Final = 0.005


class RunIndex:
    """Finds runs. Every method but :meth:`stop` may be called from any thread, also while the past is still being read.

    Args:
        fleet: the fleet whose runs are indexed.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._tables = Tables()
        self._chart = Chart()
        self._feed: Feed | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._error: str | None = None
        self._answered_at = self._check_at = self._forget_at = time.monotonic()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the journal. Calling it again does nothing."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=unending(self._run), name="run-index", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Stop, and remove the file."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        self._tables.close()

    @property
    def tables(self) -> Tables:
        """What is known of the runs."""
        return self._tables

    def _run(self) -> None:
        self._check_at = self._forget_at = time.monotonic() + SERVER_CHECK_SECONDS
        while not self._stopping.is_set():
            try:
                feed = self._feed or self._begin()
                busy = feed.step()
                now = time.monotonic()
                self._answered_at, self._error = now, None
                if now >= self._check_at:
                    self._check_at = now + SERVER_CHECK_SECONDS
                    if feed.store_was_emptied():
                        self._restart()
                    with suppress(BrokerRefused):  # a dashboard whose user may only read
                        self._fleet.flow_reports.end_silent_runs()
                if now >= self._forget_at:
                    self._forget_at = now + FORGET_SECONDS
                    feed.forget_expired()
            except BrokerError as error:
                self._pause_after(f"the server does not answer: {error}", None)
            except Exception as error:  # the pages go on with what is known; retried
                self._pause_after(f"{type(error).__name__}: {error}", error)
            else:
                if not busy:
                    self._wake.wait(POLL_SECONDS)
                    self._wake.clear()

    def check_soon(self) -> None:
        """Check at once whether the server was emptied; the check otherwise runs every few seconds."""
        self._check_at = 0.0
        self._wake.set()

    def catch_up(self, seconds: float = CATCH_UP_SECONDS) -> bool:
        """Wait until what is in the journal now has been read, no longer than this; returns whether it has been.

        Who asks right after a change sees it so. Raises BrokerError.
        """
        feed, deadline = self._feed, time.monotonic() + seconds
        if feed is None:
            return False
        newest = sequence_of(feed.journal.newest())
        while sequence_of(feed.position) < newest:
            if time.monotonic() >= deadline or feed is not self._feed:
                return False
            self._wake.set()
            time.sleep(CATCH_UP_POLL_SECONDS)
        return True

    def forget_soon(self) -> None:
        """Remove expired runs at once; this otherwise happens every half minute."""
        self._forget_at = 0.0
        self._wake.set()

    def _pause_after(self, what: str, error: Exception | None) -> None:
        if what != self._error and not self._stopping.is_set():
            log.warning("the run index cannot follow the journal: %s", what, exc_info=error)
        self._error = what
        self._stopping.wait(AFTER_ERROR_SECONDS)

    def _begin(self) -> Feed:
        self._feed = Feed(self._fleet, self._tables, self._chart)
        return self._feed

    def _restart(self) -> None:
        log.warning("the server was emptied: the run index is rebuilt")
        before, self._tables, self._chart = self._tables, Tables(), Chart()
        self._begin()
        before.close()

    # -- queries -----------------------------------------------------------------------------------------------

    def state(self) -> IndexState:
        """How up to date the index is."""
        feed, silent = self._feed, time.monotonic() - self._answered_at
        behind = (feed.behind_ms / 1000 if feed else 0.0) + (silent if silent > 2 * AFTER_ERROR_SECONDS else 0.0)
        back = feed.read_back_to if feed else None
        return IndexState(
            self.tables.total,
            behind,
            feed is not None and feed.complete,
            datetime.fromtimestamp(back / 1000, UTC) if back else None,
            self._error,
            self.tables.size,
        )

    def newest(self) -> str:
        """A cursor above every run known now, and below all later ones."""
        feed = self._feed
        return str(sequence_of(feed.position) + (1 << 10)) if feed else str(NEWEST)

    def search(self, query: RunQuery, before: str | None, limit: int) -> tuple[list[str], str | None]:
        """Ids of the first runs that match, after a cursor, and the cursor of the next page. Raises ValueError."""
        find = longest if query.sort == "duration" else search.search
        return find(self.tables, query, before, limit)

    def cursor_after(self, run_id: str) -> str | None:
        """The cursor behind a run, in the order by age; ``None`` if it is not known."""
        tables = self.tables
        place = tables.sequences([run_id], tables.reader).get(run_id)
        return str(place) if place is not None else None

    def count(self, query: RunQuery) -> Count:
        """How many match, up to a bound."""
        return search.count(self.tables, query)

    def history(self, run: RunView) -> list[Event]:
        """The states of a run, oldest first."""
        return history(self.tables, run)

    def correct(self, run_ids: Sequence[str], views: Sequence[RunView]) -> None:
        """Compare the index with records just read (runs without a view are gone); differing runs are read again."""
        feed = self._feed
        if feed is None or not run_ids:
            return
        recorded = {view.id: (view.state_type, view.state_name) for view in views}
        tables, marks = self.tables, ",".join("?" * len(run_ids))
        keys = {key_of(run_id): run_id for run_id in run_ids}
        rows = tables.reader.execute(f"SELECT id, state FROM runs WHERE id IN ({marks})", list(keys))
        wrong = [keys[key] for key, state in rows if recorded.get(keys[key]) != tables.states[state]]
        if wrong:
            feed.recheck(wrong)
            self._wake.set()

    def chart(self, minutes: int, step_seconds: int) -> list[Bucket]:
        """Recent activity, oldest first; steps of ten seconds or more."""
        return self._chart.read(minutes, step_seconds)

    def state_counts(self) -> dict[str, int]:
        """State type -> how many runs."""
        found: Counter[str] = Counter()
        for (_, state), count in list(self.tables.counts.items()):
            found[self.tables.states[state][0]] += count
        return +found

    def tasks(self) -> list[TaskFacts]:
        """Every task, by name."""
        tables = self.tables
        found: dict[str, Counter[str]] = {}
        kinds: dict[str, list[int]] = {}
        for (kind, state), count in list(tables.counts.items()):
            task = tables.kinds[kind][0]
            found.setdefault(task, Counter())[tables.states[state][0]] += count
            if kind not in kinds.setdefault(task, []):
                kinds[task].append(kind)
        return [
            TaskFacts(
                task,
                dict(+states),
                tables.task_names.get(task) or short_name(task),
                tables.durations.percentile(kinds[task], 0.5),
                tables.durations.percentile(kinds[task], 0.95),
            )
            for task, states in sorted(found.items())
            if +states
        ]

    def names(self) -> dict[str, list[str]]:
        """Values that filters can offer."""
        tables = self.tables
        present = {cell for cell, count in list(tables.counts.items()) if count > 0}
        return {
            "tasks": sorted({tables.kinds[kind][0] for kind, _ in present}),
            "queues": sorted({tables.kinds[kind][1] for kind, _ in present}),
            "states": sorted({tables.states[state][1] for _, state in present}),
            "tags": sorted(tables.tags[tag] for tag, count in list(tables.tag_counts.items()) if count > 0),
            "workers": sorted(tables.workers[name] for name, count in list(tables.worker_counts.items()) if count > 0),
            "flows": sorted(filter(None, tables.flow_names.all())),
        }
