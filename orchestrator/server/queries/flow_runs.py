"""Lists of flow runs, and one flow run with its task runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.execution.flow_texts import parameters_from, text_from
from orchestrator.inspection import RunView, cancel_runs, delete_runs, retry_runs, run_now
from orchestrator.pausing.pause import Pause
from orchestrator.pausing.requests import request_suspension
from orchestrator.pausing.resuming import paused, resume
from orchestrator.pausing.stored_inputs import SENDER_PREFIX, add_input, delete_input, find_inputs, read_input
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.flow_run_rows import FlowQuery, cursor_after, page, view
from orchestrator.server.queries.reach import seconds_of
from orchestrator.server.queries.records import upstreams_of
from orchestrator.server.queries.runs import PAGE
from orchestrator.server.queries.task_groups import MAX_GROUP_RUNS, cells_by_task, first_runs, task_group
from orchestrator.server.view_models import FlowRunFacts, FlowRunPage, FlowRunView, LogEntry, TaskGroup

MAX_TIMELINE_RUNS: Final = 200


class FlowRunQueries:
    """The flow runs of the fleet."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def find(
        self,
        states: Sequence[str] = (),
        flows: Sequence[str] = (),
        before: str | None = None,
        limit: int = PAGE,
        *,
        ids: Sequence[str] = (),
        parent_flow_run_id: str | None = None,
        deployment_ids: Sequence[str] = (),
    ) -> FlowRunPage:
        """The newest flow runs that match, from a cursor on; names of flows may hold ``*`` and ``?``."""
        named = (tuple(states), tuple(flows), tuple(ids), parent_flow_run_id, tuple(deployment_ids))
        query = FlowQuery(*named, self._context.reach)
        return page(self._context.fleet, self._context.index, query, before, page_size(limit))

    def view(self, flow_run_id: str) -> FlowRunView | None:
        """The flow run alone; ``None`` if there is no record of it."""
        found, reach = view(self._context.fleet, self._context.index, flow_run_id), self._context.reach
        if found is None or reach is None:
            return found
        return found if reach.has_flow_run(found.flow, found.deployment_id, seconds_of(found.created)) else None

    def cursor_after(self, flow_run_id: str) -> str | None:
        """The cursor of the page that begins behind a flow run; ``None`` if the index does not know it."""
        return cursor_after(self._context.index, flow_run_id)

    def get(self, flow_run_id: str) -> FlowRunFacts | None:
        """A flow run with its task runs, by task; ``None`` if there is no record of it."""
        run = self.view(flow_run_id)
        if run is None:
            return None
        fleet = self._context.fleet
        groups, runs, upstreams = self._task_runs(flow_run_id)
        record = fleet.broker.flow_runs.read(flow_run_id)
        parameters = parameters_from(flow_run_id, record.get("parameters"))
        return FlowRunFacts(
            run,
            groups,
            runs,
            upstreams,
            self.find(parent_flow_run_id=flow_run_id, limit=MAX_GROUP_RUNS).runs,
            [LogEntry(*line) for line in fleet.logs.read(flow_run_id)],
            self._context.redaction.of_pairs(parameters) if parameters is not None else None,
            text_from(flow_run_id, "result", record.get("result")),
            text_from(flow_run_id, "error", record.get("error")),
        )

    def _task_runs(self, flow_run_id: str) -> tuple[list[TaskGroup], list[RunView], dict[str, list[str]]]:
        """The groups by the moment of their first run, the first runs of all, and the upstreams of those."""
        tables = self._context.index.tables
        number = tables.known_flow(flow_run_id)
        tasks = cells_by_task(tables, number) if number is not None else {}
        firsts = {task: first_runs(tables, number, cells) for task, cells in tasks.items()}
        shown = sorted(place for places in firsts.values() for place in places)[:MAX_TIMELINE_RUNS]
        runs = self._context.views([run_id for _, run_id in shown])
        upstreams = upstreams_of(self._context.fleet, [run.id for run in runs])
        groups = [task_group(tables, task, number, cells, firsts[task], upstreams) for task, cells in tasks.items()]
        groups.sort(key=lambda group: group.created or datetime.max.replace(tzinfo=UTC))
        return groups, runs, upstreams

    # -- what people do to them --------------------------------------------------------------------------------------

    def cancel(self, flow_run_id: str) -> bool:
        """Ask it to stop; whether there was anything to stop."""
        self._must_act_on(flow_run_id)
        return bool(cancel_runs(self._context.fleet, [flow_run_id]))

    def pause(self, flow_run_id: str) -> Pause:
        """The pause in which it is. Raises ObjectNotFound, NotPausedError."""
        self._must_see(flow_run_id)
        return paused(self._context.fleet, flow_run_id)

    def resume(self, flow_run_id: str, run_input: dict[str, Any] | None) -> None:
        """Have it go on. Raises NotPausedError, ParameterTypeError: the input does not fit, and it stays paused."""
        self._must_act_on(flow_run_id)
        resume(self._context.fleet, flow_run_id, run_input)

    def send_input(self, flow_run_id: str, key: str, value: Any, sender: str | None) -> None:
        """Send it an input. Raises ObjectNotFound; BrokerConflict: it has another one of that key; TypeError.

        The sender is where answers go: one that is no flow run in reach of whoever sends it is left out.
        """
        self._must_act_on(flow_run_id)
        reach = self._context.reach
        if sender is not None and reach is not None and not reach.has_flow_run_named(_sending_run(sender)):
            sender = None
        add_input(flow_run_id, key, value, sender, self._context.fleet)

    def inputs(self, flow_run_id: str, prefix: str, limit: int, exclude_keys: Sequence[str]) -> list[FlowRunInput]:
        """Its inputs whose keys begin so, the oldest first."""
        self._must_see(flow_run_id)
        return find_inputs(flow_run_id, prefix, limit, exclude_keys, self._context.fleet)

    def input(self, flow_run_id: str, key: str) -> FlowRunInput | None:
        """Its input of this key."""
        self._must_see(flow_run_id)
        return read_input(flow_run_id, key, self._context.fleet)

    def delete_input(self, flow_run_id: str, key: str) -> None:
        """Delete one. Raises ObjectNotFound."""
        self._must_act_on(flow_run_id)
        delete_input(flow_run_id, key, self._context.fleet)

    def suspend(self, flow_run_id: str) -> None:
        """Ask it to suspend itself at its next call of a task. Raises ObjectNotFound, NotPausedError."""
        self._must_act_on(flow_run_id)
        request_suspension(self._context.fleet, flow_run_id)

    def retry(self, flow_run_id: str) -> bool:
        """Queue one that has ended again, under its id; whether it could be: it was sent, and its call is kept."""
        self._must_act_on(flow_run_id)
        return bool(retry_runs(self._context.fleet, [flow_run_id]))

    def run_now(self, flow_run_id: str) -> bool:
        """Queue one at once that waits for a moment; whether it did."""
        self._must_act_on(flow_run_id)
        return bool(run_now(self._context.fleet, [flow_run_id]))

    def delete(self, flow_run_id: str) -> bool:
        """Delete one that has ended, with its logs; whether it was sent to a worker, so that it could be."""
        self._must_act_on(flow_run_id)
        return bool(delete_runs(self._context.fleet, [flow_run_id]))

    def _must_act_on(self, flow_run_id: str) -> None:
        self._context.must_write()
        self._must_see(flow_run_id)

    def _must_see(self, flow_run_id: str) -> None:
        reach = self._context.reach
        self._context.must_reach("such flow run", reach is None or reach.has_flow_run_named(flow_run_id))


def _sending_run(sender: str) -> str | None:
    """The flow run that a sender names."""
    return sender.removeprefix(SENDER_PREFIX) if sender.startswith(SENDER_PREFIX) else None
