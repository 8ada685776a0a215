"""Lists of runs, and one run with everything around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.errors import ObjectNotFound
from orchestrator.inspection import RunView, detail_of, parameter_names
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.records import arguments_of, progress_of, upstreams_of
from orchestrator.server.view_models import MAX_COUNTED, Count, LogEntry, RunFacts, RunPage, RunQuery

PAGE: Final = 50
MAX_CHILDREN: Final = 20
MAX_INDEX_ROUNDS: Final = 5  # searches for one page, repeated where records are newer than the index
MAX_LOOKING_ROUNDS: Final = 200  # the same where each record is looked at, within
LOOKING_SECONDS: Final = 1.0
MAX_SORTED: Final = 2_000  # of the newest that match; in orders that the index does not have
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)  # what has no such moment comes last
ORDERS: Final[dict[str, tuple[Callable[[RunView], Any], bool]]] = {
    "EXPECTED_START_TIME_ASC": (lambda run: run.due or run.created, False),
    "EXPECTED_START_TIME_DESC": (lambda run: run.due or run.created, True),
    "NEXT_SCHEDULED_START_TIME_ASC": (lambda run: run.due if run.state_type == "SCHEDULED" else None, False),
    "END_TIME_DESC": (lambda run: run.ended, True),
    "NAME_ASC": (lambda run: (run.name,), False),
    "NAME_DESC": (lambda run: (run.name,), True),
}
ENDED: Final = frozenset(("COMPLETED", "FAILED", "CANCELLED", "CRASHED"))


class RunQueries:
    """The runs of the fleet."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def find(
        self, query: RunQuery | None = None, before: str | None = None, limit: int = PAGE, offset: int = 0
    ) -> RunPage:
        """The newest runs that match, from a cursor on.

        Args:
            query: which runs; all unless given.
            before: the cursor of the previous page.
            limit: how many runs, at most 200.
            offset: so many of the newest are left out, within 10,000.
        """
        for first in range(0, min(offset, MAX_COUNTED), 200):
            page = self.find(query, before, min(200, offset - first))
            if page.cursor is None:
                return RunPage([], None, page.total, page.as_of)
            before = page.cursor
        query, limit, index = query or RunQuery(), page_size(limit), self._context.index
        as_of = index.newest()
        if query.ids:
            named = self.named(query)
            return RunPage(named[:limit], None, Count(len(named)), as_of)
        found, cursor = self._found(query, before, limit)
        if before is None and cursor is None:  # then they are counted
            return RunPage(found, cursor, Count(len(found)), as_of)
        total = Count(len(found), more=True) if self._must_look(query) else index.count(query)
        return RunPage(found, cursor, total, as_of)

    def _found(self, query: RunQuery, before: str | None, limit: int) -> tuple[list[RunView], str | None]:
        """So many runs that match, or those that there was time for, and the cursor behind them."""
        index, looks, cursor = self._context.index, self._must_look(query), before
        found: list[RunView] = []
        deadline = time.monotonic() + LOOKING_SECONDS
        for _ in range(MAX_LOOKING_ROUNDS if looks else MAX_INDEX_ROUNDS):
            ids, cursor = index.search(query, cursor, 200 if looks and not query.sort else limit - len(found))
            found += self.matching(query, self._context.views(ids))
            if cursor is None or len(found) >= limit or not ids or time.monotonic() > deadline:
                break
        if len(found) > limit:
            return found[:limit], index.cursor_after(found[limit - 1].id)
        return found, cursor

    def count(self, query: RunQuery | None = None) -> Count:
        """How many runs match, up to a bound."""
        query = query or RunQuery()
        if query.ids:
            return Count(len(self.named(query)))
        if not self._must_look(query):
            return self._context.index.count(query)
        number, deadline = 0, time.monotonic() + LOOKING_SECONDS
        for page in self._pages(query):
            number += len(page.runs)
            if time.monotonic() > deadline or number >= MAX_COUNTED:
                return Count(number, more=page.cursor is not None)
        return Count(number)

    def sorted_page(self, query: RunQuery, order: str, limit: int, offset: int) -> RunPage:
        """A page in an order that the index does not have, of the newest 2,000 that match; see :data:`ORDERS`."""
        every: list[RunView] = []
        more = False
        for page in self._pages(query):
            every += page.runs
            more = page.cursor is not None
            if len(every) >= MAX_SORTED:
                break
        key, falls = ORDERS[order]
        if not falls:
            every.reverse()  # of equal ones the oldest first
        every.sort(key=lambda run: key(run) or (_FIRST if falls else _LAST), reverse=falls)
        as_of = self._context.index.newest()
        return RunPage(every[offset : offset + limit], None, Count(len(every), more), as_of)

    def _pages(self, query: RunQuery) -> Iterator[RunPage]:
        """All that match, a page at a time."""
        cursor: str | None = None
        while True:
            page = self.find(query, cursor, 200)
            yield page
            cursor = page.cursor
            if cursor is None:
                return

    def names(self) -> dict[str, list[str]]:
        """Values for filters; to somebody who sees a part only those flows, for the index knows all."""
        names, reach = self._context.index.names(), self._context.reach
        if reach is None:
            return names
        return {**{kind: [] for kind in names}, "flows": [flow for flow in names["flows"] if reach.has_flow(flow)]}

    def views(self, run_ids: Sequence[str]) -> list[RunView]:
        """These runs, in order, without expired ones."""
        return self._context.views(run_ids)

    def named(self, query: RunQuery) -> list[RunView]:
        """The matching runs among the ids of a query, newest first; from records alone, for the index may lag."""
        views = self._context.views(list(dict.fromkeys(query.ids)))
        matching = self.matching(query, [view for view in views if query.agrees(view)])
        return sorted(matching, key=lambda view: view.id, reverse=True)

    def matching(self, query: RunQuery, views: list[RunView]) -> list[RunView]:
        """The runs whose records match, as those in the index do; arguments are only in the records."""
        agreeing = [view for view in views if query.matches(view) and (query.fits is None or query.fits(view))]
        if not query.argument:
            return agreeing
        fleet, wanted = self._context.fleet, query.argument.lower()
        arguments = arguments_of(fleet, agreeing, self._context.redaction, parameter_names(fleet))
        return [view for view in agreeing if wanted in arguments.get(view.id, "").lower()]

    def get(self, run_id: str) -> RunFacts | None:
        """One run with everything around it; ``None`` if there is no record of it."""
        fleet, index = self._context.fleet, self._context.index
        detail = detail_of(fleet, run_id, self._context.redaction, parameter_names(fleet))
        if detail is None:
            index.correct([run_id], [])
            return None
        run = detail.run
        index.correct([run_id], [run])
        if not self._context.in_reach([run]):
            return None
        children = RunQuery(parent_task_run_id=run_id)
        child_ids, _ = index.search(children, None, MAX_CHILDREN)
        return RunFacts(
            detail,
            index.history(run),
            self.logs(run_id),
            self.progress([run_id]).get(run_id),
            self._context.views(upstreams_of(fleet, [run_id]).get(run_id, [])),
            (shown := self._context.views(child_ids)),
            index.count(children) if self._context.reach is None else Count(len(shown)),
            self._flow_run_name(run),
            actions_for(run),
        )

    def _flow_run_name(self, run: RunView) -> str | None:
        record = self._context.fleet.broker.flow_runs.read(run.flow_run_id) if run.flow_run_id else {}
        return record["name"].decode("utf-8", "replace") if "name" in record else None

    def logs(self, run_id: str, after: int = 0) -> list[LogEntry]:
        """The kept log lines of a task run or flow run, without the first ``after``; none of one out of reach."""
        if not self._context.has_run(run_id):
            return []
        return [LogEntry(*line) for line in self._context.fleet.logs.read(run_id)[after:]]

    def add_logs(self, lines: Sequence[tuple[str | None, str | None, str, str, datetime]]) -> None:
        """Add lines to the logs of runs: task run or flow run, level, message, moment.

        Raises:
            ReadOnly: this server refuses actions. ObjectNotFound: one of the runs is not known; nothing is written.
        """
        self._context.must_write()
        fleet = self._context.fleet
        tasks = list({task_run_id for task_run_id, *_ in lines if task_run_id is not None})
        flows = list({flow_run_id for task_run_id, flow_run_id, *_ in lines if task_run_id is None and flow_run_id})
        known = {run.id for run in self._context.views(tasks)}
        records = fleet.broker.flow_runs.read_many(flows, ["type"]) if flows else []
        reach = self._context.reach
        seen = reach.flow_runs(flows) if reach is not None else [True] * len(flows)
        known |= {run_id for run_id, fields, is_seen in zip(flows, records, seen, strict=True) if fields and is_seen}
        if unknown := {*tasks, *flows} - known:
            raise ObjectNotFound(f"there is no run {min(unknown)!r}: none of the lines was kept")
        for task_run_id, flow_run_id, level, message, moment in lines:
            fleet.logs.add(task_run_id or flow_run_id or "", level, message, moment.timestamp())
        fleet.logs.flush()

    def _must_look(self, query: RunQuery) -> bool:
        """Whether records decide, not the index alone."""
        return bool(query.argument) or query.fits is not None or self._context.reach is not None

    def progress(self, run_ids: Sequence[str]) -> dict[str, dict[str, object]]:
        """The reported progress of runs, of those that report any."""
        return progress_of(self._context.fleet, run_ids)


def actions_for(run: RunView) -> tuple[str, ...]:
    """The actions that a run's state allows now."""
    ended = run.state_type in ENDED or run.state_name == "NotReady"
    if not ended:
        return ("run-now", "cancel") if run.state_type == "SCHEDULED" else ("cancel",)
    return ("retry", "delete")
