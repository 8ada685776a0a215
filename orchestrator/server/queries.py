"""Every question that pages and the JSON API ask, and everything they do; one object per app.

Finding runs is the index's work, what is shown of them comes from their records: where the two differ the record wins,
and the index learns of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from orchestrator.fleet import Fleet
from orchestrator.inspection import (
    QueueView,
    Redaction,
    RunView,
    WorkerView,
    cancel_runs,
    delete_runs,
    detail_of,
    parameter_names,
    queues,
    queues_of,
    retry_runs,
    views_of,
    workers,
    workers_of,
)
from orchestrator.server import beside, flow_pages
from orchestrator.server.answers import (
    Bucket,
    Count,
    Dead,
    Done,
    FlowRunFacts,
    FlowRunPage,
    FlowRunView,
    Health,
    LogEntry,
    ReadOnly,
    RunFacts,
    RunPage,
    RunQuery,
    ScheduledPage,
    TaskFacts,
)
from orchestrator.server.index import RunIndex

PAGE: Final = 50
MOST_PER_PAGE: Final = 200
CHILDREN: Final = 20
SLICE: Final = 500
ORDER_SECONDS: Final = 1.0  # how long an order to workers is watched
ENDED: Final = frozenset(("COMPLETED", "FAILED", "CANCELLED", "CRASHED"))


class Queries:
    """What can be asked and done. Every method may be called from any thread.

    Args:
        fleet: the fleet that is looked at.
        index: its runs; whoever makes it starts and stops it.
        redaction: names of arguments whose values are not shown.
        read_only: whether every action is refused with :class:`ReadOnly`.

    Every method may raise ``BrokerError``: the server does not answer.
    """

    def __init__(
        self, fleet: Fleet, index: RunIndex, redaction: Redaction | None = None, read_only: bool = False
    ) -> None:
        self.fleet = fleet
        self.index = index
        self.redaction = redaction or Redaction()
        self.read_only = read_only

    # -- runs ----------------------------------------------------------------------------------------------------

    def runs(self, query: RunQuery | None = None, before: str | None = None, limit: int = PAGE) -> RunPage:
        """The newest runs that match, from a cursor on.

        Args:
            query: which; all unless given.
            before: the cursor of the page before.
            limit: how many, at most 200.
        """
        query, limit = query or RunQuery(), max(1, min(limit, MOST_PER_PAGE))
        as_of = self.index.newest()
        if query.ids:
            named = self._named(query)
            return RunPage(named[:limit], None, Count(len(named)), as_of)
        found: list[RunView] = []
        cursor = before
        for _ in range(5):  # rounds are repeated where records are newer than the index
            ids, cursor = self.index.search(query, cursor, limit - len(found))
            found += [view for view in self._views(ids) if query.matches(view)]
            if cursor is None or len(found) >= limit or not ids:
                break
        is_whole = before is None and cursor is None  # then they are counted
        return RunPage(found, cursor, Count(len(found)) if is_whole else self.index.count(query), as_of)

    def count(self, query: RunQuery | None = None) -> Count:
        """How many runs match, up to a bound."""
        query = query or RunQuery()
        return Count(len(self._named(query))) if query.ids else self.index.count(query)

    def _named(self, query: RunQuery) -> list[RunView]:
        """Of the runs that a query names, those that match: told by their records, the index need not know them yet."""
        views = self._views(list(dict.fromkeys(query.ids)))
        return sorted((view for view in views if query.agrees(view)), key=lambda view: view.id, reverse=True)

    def _views(self, run_ids: Sequence[str]) -> list[RunView]:
        """The records of runs; the index hears of them."""
        views = views_of(self.fleet, run_ids)
        self.index.correct(run_ids, views)
        return views

    def views(self, run_ids: Sequence[str]) -> list[RunView]:
        """These runs, in order, without those that have expired."""
        return self._views(run_ids)

    def run(self, run_id: str) -> RunFacts | None:
        """Everything about a run; ``None`` if there is no record of it."""
        detail = detail_of(self.fleet, run_id, self.redaction, parameter_names(self.fleet))
        if detail is None:
            self.index.correct([run_id], [])
            return None
        run = detail.run
        self.index.correct([run_id], [run])
        children = RunQuery(parent_task_run_id=run_id)
        ids, _ = self.index.search(children, None, CHILDREN)
        flow = self.fleet.broker.read_flow_run(run.flow_run_id) if run.flow_run_id else {}
        return RunFacts(
            detail,
            self.index.history(run),
            self.logs(run_id),
            self.progress([run_id]).get(run_id),
            self._views(beside.upstreams_of(self.fleet, [run_id]).get(run_id, [])),
            self._views(ids),
            self.index.count(children),
            flow["name"].decode("utf-8", "replace") if "name" in flow else None,
            actions_for(run),
        )

    def logs(self, run_id: str, after: int = 0) -> list[LogEntry]:
        """The kept log lines of a task run or flow run, without the first ``after``."""
        return [LogEntry(*line) for line in self.fleet.logs.read(run_id)[after:]]

    def progress(self, run_ids: Sequence[str]) -> dict[str, dict[str, object]]:
        """What running tasks say of themselves, of those that do."""
        return beside.progress_of(self.fleet, run_ids)

    # -- flow runs -----------------------------------------------------------------------------------------------

    def flow_runs(
        self,
        states: Sequence[str] = (),
        flows: Sequence[str] = (),
        before: str | None = None,
        limit: int = PAGE,
        *,
        ids: Sequence[str] = (),
        parent_flow_run_id: str | None = None,
    ) -> FlowRunPage:
        """The newest flow runs that match, from a cursor on; names of flows may hold ``*`` and ``?``."""
        return flow_pages.page(
            self.fleet,
            self.index,
            flow_pages.FlowQuery(tuple(states), tuple(flows), tuple(ids), parent_flow_run_id),
            before,
            max(1, min(limit, MOST_PER_PAGE)),
        )

    def flow_run(self, flow_run_id: str) -> FlowRunFacts | None:
        """A flow run with its task runs, by task; ``None`` if there is no record of it."""
        return flow_pages.facts(self, flow_run_id)

    def flow_run_view(self, flow_run_id: str) -> FlowRunView | None:
        """The flow run alone."""
        return flow_pages.view(self.fleet, self.index, flow_run_id)

    # -- the fleet -----------------------------------------------------------------------------------------------

    def chart(self, minutes: int = 60, step_seconds: int = 60) -> list[Bucket]:
        """What happened lately, oldest first; steps of ten seconds or more."""
        return self.index.chart(minutes, step_seconds)

    def state_counts(self) -> dict[str, int]:
        """State type -> how many runs are kept."""
        return self.index.state_counts()

    def tasks(self) -> list[TaskFacts]:
        """The tasks of the runs that are kept, by name."""
        return self.index.tasks()

    def names(self) -> dict[str, list[str]]:
        """What filters can offer: ``tasks``, ``queues``, ``tags``, ``workers``, ``states``, ``flows``."""
        return self.index.names()

    def queues(self) -> list[QueueView]:
        """The queues, by name."""
        return queues_of(self.fleet)

    def workers(self) -> list[WorkerView]:
        """The live workers, by name."""
        return workers_of(self.fleet)

    def dead(self) -> Dead:
        """The dead letters, grouped by task and error."""
        return beside.dead_letters(self)

    def scheduled(self, cursor: str | None = None, limit: int = PAGE) -> ScheduledPage:
        """Calls that wait for a moment, the next one first."""
        return beside.scheduled(self, cursor, max(1, min(limit, MOST_PER_PAGE)))

    def health(self) -> Health:
        """The server underneath, and how well the index knows it; also when it does not answer."""
        return beside.health(self.fleet, self.index.state())

    # -- actions -------------------------------------------------------------------------------------------------

    def cancel(self, what: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Ask runs to stop: those with these ids, or all that match (and were there when ``as_of`` was given out)."""
        return self._act(what, as_of, cancel_runs)

    def retry(self, what: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Queue ended runs again, under their ids and with the arguments they had."""
        return self._act(what, as_of, retry_runs)

    def delete(self, what: RunQuery | Iterable[str], as_of: str | None = None) -> Done:
        """Delete the records and logs of ended runs."""
        return self._act(what, as_of, delete_runs)

    def _act(
        self, what: RunQuery | Iterable[str], as_of: str | None, act: Callable[[Fleet, Sequence[str]], list[str]]
    ) -> Done:
        self.must_write()
        asked = done = 0
        for some in self._slices(what, as_of):
            asked += len(some)
            acted = act(self.fleet, some)
            done += len(acted)
            self.index.correct(acted, views_of(self.fleet, acted))
        return Done(asked, done)

    def _slices(self, what: RunQuery | Iterable[str], as_of: str | None) -> Iterator[list[str]]:
        """Run ids in portions; of those that match, the ones whose records agree."""
        if not isinstance(what, RunQuery):
            ids = list(dict.fromkeys(what))
            yield from (ids[first : first + SLICE] for first in range(0, len(ids), SLICE))
            return
        if what.ids:
            yield from self._slices([view.id for view in self._named(what)], None)
            return
        cursor: str | None = as_of or self.index.newest()
        while cursor is not None:
            ids, cursor = self.index.search(what, cursor, SLICE)
            agreeing = [view.id for view in self._views(ids) if what.matches(view)]
            if agreeing:
                yield agreeing

    def must_write(self) -> None:
        """Raises ReadOnly if actions are refused here."""
        if self.read_only:
            raise ReadOnly("this server is read-only: it was started with --read-only")

    def replay_dead(self, run_ids: Sequence[str] | None = None) -> Done:
        """Queue dead letters again; all unless ids are given."""
        return self.retry(self._dead_ids(run_ids))

    def purge_dead(self, run_ids: Sequence[str] | None = None) -> Done:
        """Delete dead letters; all unless ids are given."""
        return self.delete(self._dead_ids(run_ids))

    def _dead_ids(self, run_ids: Sequence[str] | None) -> list[str]:
        dead = self.fleet.broker.dead_letters(beside.EVERY_DEAD_LETTER)
        if run_ids is None:
            return dead
        wanted = set(run_ids)
        return [run_id for run_id in dead if run_id in wanted]

    def pause_queue(self, name: str) -> None:
        """No worker begins a call of this queue any more; what runs goes on."""
        self.must_write()
        queues.pause_queue(self.fleet, name)

    def resume_queue(self, name: str) -> None:
        """Workers begin calls of this queue again."""
        self.must_write()
        queues.resume_queue(self.fleet, name)

    def purge_queue(self, name: str) -> int:
        """Cancel what waits in a queue; returns how many calls."""
        self.must_write()
        return queues.purge_queue(self.fleet, name)

    def pause_workers(self, names: Sequence[str]) -> None:
        """These workers begin no further call."""
        self.must_write()
        workers.pause_workers(self.fleet, names, ORDER_SECONDS)

    def resume_workers(self, names: Sequence[str]) -> None:
        """They begin calls again."""
        self.must_write()
        workers.resume_workers(self.fleet, names, ORDER_SECONDS)

    def stop_workers(self, names: Sequence[str]) -> None:
        """They finish what runs, and leave."""
        self.must_write()
        workers.stop_workers(self.fleet, names)


def actions_for(run: RunView) -> tuple[str, ...]:
    """What makes sense to do with a run now."""
    ended = run.state_type in ENDED or run.state_name == "NotReady"
    if not ended:
        return ("cancel",)
    return ("retry", "delete")
