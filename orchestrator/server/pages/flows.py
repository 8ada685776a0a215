"""Flow runs: the list, and the page of one with its timeline and its graph."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.server.pages import filters, timeline
from orchestrator.server.pages.formatting import named
from orchestrator.server.pages.graph import dependency_graph
from orchestrator.server.pages.rendering import (
    STOP_POLLING,
    missing,
    queries_of,
    query_value,
    query_values,
    render,
    root_of,
    screen,
)
from orchestrator.server.queries.runs import ENDED
from orchestrator.server.view_models import RunQuery

STATES: Final = ("RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def flows_page(request: Request) -> Response:
    """The newest first."""
    queries = queries_of(request)
    states, flow = query_values(request, "state"), query_value(request, "flow")
    known = queries.runs.names().get("flows", [])
    patterns = [flow if flow in known or "*" in flow else f"*{flow}*"] if flow else []
    page = queries.flow_runs.find(states, patterns, query_value(request, "before"))
    pairs = [*(("state", state) for state in states), *([("flow", flow)] if flow else [])]
    return render(
        request,
        "flows.html",
        screen="/flows",
        page=page,
        flows=known,
        flow=flow or "",
        states=STATES,
        chosen=states,
        here=filters.address("/flows", pairs),
        is_filtered=bool(pairs),
        is_first=query_value(request, "before") is None,
        older=filters.address("/flows", [*pairs, ("before", page.cursor)]) if page.cursor else None,
    )


def flow_page(request: Request) -> Response:
    """One flow run; while it goes on, the page follows."""
    queries, flow_run_id = queries_of(request), request.path_params["flow_run_id"]
    facts = queries.flow_runs.get(flow_run_id)
    if facts is None:
        return missing(request, f"Flow run {flow_run_id}", "There is no record of it: it has expired or was deleted.")
    opened = query_value(request, "open")
    inside = None
    runs = facts.runs
    if opened:
        wanted = RunQuery(flow_run_id=flow_run_id, tasks=(opened,), states=query_values(request, "state"))
        inside = queries.runs.find(wanted, before=query_value(request, "before"))
    here = f"{root_of(request)}/flows/{quote(flow_run_id, safe='')}"
    has_ended = facts.run.state_type in ENDED
    is_part = request.headers.get("hx-request") == "true"
    lanes = timeline.lanes_of(facts.groups, runs, opened, root_of(request), here, facts.subflows)
    names = {run.task: named(run) for run in runs}
    failed = sum(facts.run.task_runs.get(kind, 0) for kind in ("FAILED", "CRASHED"))
    more = [("open", opened or ""), *(("state", state) for state in query_values(request, "state"))]
    return render(
        request,
        "flow.html",
        status=STOP_POLLING if is_part and has_ended else 200,
        screen="/flows",
        facts=facts,
        run=facts.run,
        has_ended=has_ended,
        opened=opened,
        inside=inside,
        older=filters.address(here, [*more, ("before", inside.cursor)]) if inside and inside.cursor else None,
        here=here,
        lanes=len(lanes),
        drawn=min(len(lanes), timeline.MAX_ROWS),
        picture=timeline.timeline(lanes, datetime.now(UTC)),
        graph=dependency_graph(facts.groups, root_of(request), flow_run_id, facts.subflows, names),
        names=names,
        failed=failed,
        artifacts=queries.artifacts.of_run(flow_run_id),
        lines=facts.logs[-500:],
    )


ROUTES: Final = [
    Route("/flows", screen(flows_page, in_part=True)),
    Route("/flows/{flow_run_id}", screen(flow_page, in_part=True)),
]
