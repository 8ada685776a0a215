"""The index of runs: a SQLite file in a temporary folder that one thread keeps in step with the journal.

It is rebuilt at every start and corrected by what pages read, so it is never wrong for long; the store stays the truth.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from orchestrator.errors import BrokerError
from orchestrator.fleet import Fleet
from orchestrator.inspection import RunView
from orchestrator.server.answers import Bucket, Count, Event, IndexState, RunQuery, TaskFacts
from orchestrator.server.index import search
from orchestrator.server.index.chart import Chart
from orchestrator.server.index.feed import Feed
from orchestrator.server.index.history import history
from orchestrator.server.index.tables import Tables
from orchestrator.server.index.words import NEWEST, key_of, sequence_of

log = logging.getLogger("orchestrator.server.index")
LOOK_SECONDS: Final = 0.25
AFTER_ERROR_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 30.0
SERVER_CHECK_SECONDS: Final = 5.0
STOP_SECONDS: Final = 10.0


class RunIndex:
    """Finds runs. Every method but :meth:`stop` may be called from any thread, also before the past has been read.

    Args:
        fleet: whose runs.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.tables = Tables()
        self._chart = Chart()
        self._feed: Feed | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._error: str | None = None
        self._heard = self._check_at = self._forget_at = time.monotonic()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the journal, once."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="run-index", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """Stop, and remove the file."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        self.tables.close()

    def _run(self) -> None:
        self._check_at = self._forget_at = time.monotonic() + SERVER_CHECK_SECONDS
        while not self._stopping.is_set():
            try:
                feed = self._feed or self._begin()
                busy = feed.follow()
                if not feed.complete:
                    feed.read_back()
                    busy = True
                now = time.monotonic()
                self._heard, self._error = now, None
                if now >= self._check_at:
                    self._check_at = now + SERVER_CHECK_SECONDS
                    if feed.is_of_another_time():
                        self._begin_anew()
                if now >= self._forget_at:
                    self._forget_at = now + FORGET_SECONDS
                    feed.forget_expired()
            except BrokerError as error:
                self._pause_after(f"the server does not answer: {error}", None)
            except Exception as error:  # the pages go on with what is known; it is tried again
                self._pause_after(f"{type(error).__name__}: {error}", error)
            else:
                if not busy:
                    self._wake.wait(LOOK_SECONDS)
                    self._wake.clear()

    def check_soon(self) -> None:
        """Look at once whether the server was emptied, which is looked at every few seconds anyway."""
        self._check_at = 0.0
        self._wake.set()

    def forget_soon(self) -> None:
        """Look at once for expired runs, which is done every half minute anyway."""
        self._forget_at = 0.0
        self._wake.set()

    def _pause_after(self, what: str, error: Exception | None) -> None:
        if what != self._error and not self._stopping.is_set():
            log.warning("the index of runs does not get on: %s", what, exc_info=error)
        self._error = what
        self._stopping.wait(AFTER_ERROR_SECONDS)

    def _begin(self) -> Feed:
        self._feed = Feed(self._fleet, self.tables, self._chart)
        return self._feed

    def _begin_anew(self) -> None:
        log.warning("the server was emptied: the index of runs is made anew")
        before, self.tables, self._chart = self.tables, Tables(), Chart()
        self._begin()
        before.close()

    # -- questions -----------------------------------------------------------------------------------------------

    def state(self) -> IndexState:
        """How well it knows the store."""
        feed, silent = self._feed, time.monotonic() - self._heard
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
        """A cursor above every run that is known now, and below those that come."""
        feed = self._feed
        return str(sequence_of(feed.position) + (1 << 10)) if feed else str(NEWEST)

    def search(self, query: RunQuery, before: str | None, limit: int) -> tuple[list[str], str | None]:
        """Ids of the newest runs that match, below a cursor; and the cursor behind them. Raises ValueError."""
        return search.search(self.tables, query, before, limit)

    def count(self, query: RunQuery) -> Count:
        """How many match, up to a bound."""
        return search.count(self.tables, query)

    def history(self, run: RunView) -> list[Event]:
        """The states of a run, oldest first."""
        return history(self.tables, run)

    def correct(self, run_ids: Sequence[str], views: Sequence[RunView]) -> None:
        """These records were read, and those of the other runs are gone: where the index says otherwise it looks."""
        feed = self._feed
        if feed is None or not run_ids:
            return
        said = {view.id: (view.state_type, view.state_name) for view in views}
        tables, marks = self.tables, ",".join("?" * len(run_ids))
        keys = {key_of(run_id): run_id for run_id in run_ids}
        rows = tables.reader.execute(f"SELECT id, state FROM runs WHERE id IN ({marks})", list(keys))
        wrong = [keys[key] for key, state in rows if said.get(keys[key]) != tables.states[state]]
        if wrong:
            feed.doubt(wrong)
            self._wake.set()

    def chart(self, minutes: int, step_seconds: int) -> list[Bucket]:
        """What happened lately."""
        return self._chart.read(minutes, step_seconds)

    def state_counts(self) -> dict[str, int]:
        """State type -> how many runs."""
        found: Counter[str] = Counter()
        for (_, state), count in list(self.tables.counts.items()):
            found[self.tables.states[state][0]] += count
        return +found

    def tasks(self) -> list[TaskFacts]:
        """Every task, by name."""
        found: dict[str, Counter[str]] = {}
        for (kind, state), count in list(self.tables.counts.items()):
            found.setdefault(self.tables.kinds[kind][0], Counter())[self.tables.states[state][0]] += count
        return [TaskFacts(task, dict(+states)) for task, states in sorted(found.items()) if +states]

    def names(self) -> dict[str, list[str]]:
        """What filters can offer."""
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
