"""Cancel, retry, run now, delete: of runs given by id, or of all that match a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from brokers.records import in_portions
from orchestrator.client.fleet import Fleet
from orchestrator.inspection import cancel_runs, delete_runs, retry_runs, run_now, views_of
from orchestrator.server.queries.context import QueryContext
from orchestrator.server.queries.runs import RunQueries
from orchestrator.server.view_models import Done, RunQuery

BATCH: Final = 500  # runs


class RunActions:
    """Actions on runs. ``as_of`` (of the page that the user saw) leaves out runs that were submitted since.

    Every action raises ReadOnly on a server that refuses actions.
    """

    def __init__(self, context: QueryContext, runs: RunQueries) -> None:
        self._context, self._runs = context, runs

    def cancel(self, runs: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Request cancellation."""
        return self._act(runs, as_of, cancel_runs)

    def retry(self, runs: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Queue ended runs again, under their ids and with the arguments they had."""
        return self._act(runs, as_of, retry_runs)

    def run_now(self, runs: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Queue runs at once that wait for a moment: a countdown, or their next attempt."""
        return self._act(runs, as_of, run_now)

    def delete(self, runs: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Delete the records and logs of ended runs."""
        return self._act(runs, as_of, delete_runs)

    def _act(
        self, runs: RunQuery | Iterable[str], as_of: str | None, act: Callable[[Fleet, Sequence[str]], list[str]]
    ) -> Done:
        self._context.must_write()
        requested = done = 0
        for batch in self._batches(runs, as_of):
            requested += len(batch)
            acted = act(self._context.fleet, batch)
            done += len(acted)
            self._context.index.correct(acted, views_of(self._context.fleet, acted))
        return Done(requested, done)

    def _batches(self, runs: RunQuery | Iterable[str], as_of: str | None) -> Iterator[list[str]]:
        """Run ids in batches; of a query, those whose records match it too."""
        if not isinstance(runs, RunQuery):
            for some in in_portions(list(dict.fromkeys(runs)), BATCH):
                seen = some if self._context.reach is None else [run.id for run in self._context.views(some)]
                if seen:
                    yield list(seen)
            return
        if runs.ids:
            yield from self._batches([view.id for view in self._runs.named(runs)], None)
            return
        query, index = replace(runs, sort=""), self._context.index
        cursor: str | None = as_of or index.newest()
        while cursor is not None:
            ids, cursor = index.search(query, cursor, BATCH)
            matching = [view.id for view in self._runs.matching(query, self._context.views(ids))]
            if matching:
                yield matching
