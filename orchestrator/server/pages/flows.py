"""Flow runs: the list, and the page of one with its timeline and its graph."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.server.answers import RunQuery
from orchestrator.server.pages import filters, timeline
from orchestrator.server.pages.graph import dependency_graph
from orchestrator.server.pages.rendering import (
    STOP_POLLING,
    asked,
    asked_one,
    missing,
    queries_of,
    render,
    root_of,
    screen,
)
from orchestrator.server.queries import ENDED

STATES: Final = ("RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def flows_page(request: Request) -> Response:
    """The newest first."""
    queries = queries_of(request)
    states, flow = asked(request, "state"), asked_one(request, "flow")
    known = queries.names().get("flows", [])
    patterns = [flow if flow in known or "*" in flow else f"*{flow}*"] if flow else []
    page = queries.flow_runs(states, patterns, asked_one(request, "before"))
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
        is_first=asked_one(request, "before") is None,
        older=filters.address("/flows", [*pairs, ("before", page.cursor)]) if page.cursor else None,
    )


def flow_page(request: Request) -> Response:
    """One flow run; while it goes on, the page follows."""
    queries, flow_run_id = queries_of(request), request.path_params["flow_run_id"]
    facts = queries.flow_run(flow_run_id)
    if facts is None:
        return missing(request, f"Flow run {flow_run_id}", "There is no record of it: it has expired or was deleted.")
    opened = asked_one(request, "open")
    inside = None
    runs = facts.runs
    if opened:
        wanted = RunQuery(flow_run_id=flow_run_id, tasks=(opened,), states=asked(request, "state"))
        inside = queries.runs(wanted, before=asked_one(request, "before"))
    here = f"{root_of(request)}/flows/{quote(flow_run_id, safe='')}"
    has_ended = facts.run.state_type in ENDED
    is_part = request.headers.get("hx-request") == "true"
    lanes = timeline.lanes_of(facts.groups, runs, opened, root_of(request), here)
    more = [("open", opened or ""), *(("state", state) for state in asked(request, "state"))]
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
        drawn=min(len(lanes), timeline.MOST_ROWS),
        picture=timeline.timeline(lanes, datetime.now(UTC)),
        graph=dependency_graph(facts.groups, root_of(request), flow_run_id),
        lines=facts.logs[-500:],
    )


ROUTES: Final = [
    Route("/flows", screen(flows_page)),
    Route("/flows/{flow_run_id}", screen(flow_page)),
]
