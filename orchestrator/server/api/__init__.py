"""The JSON API: everything that the pages show and do, for programs."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from orchestrator.people.roles import VIEWER
from orchestrator.server.access import queries_for
from orchestrator.server.api import (
    artifacts,
    automations,
    block_types,
    blocks,
    deployments,
    events,
    fleet,
    flow_run_inputs,
    flow_runs,
    flows,
    limits,
    logs,
    reported_runs,
    runs,
    schedules,
    variables,
    work_pools,
)
from orchestrator.server.api.document import STYLE, document, page

MODULES: Final = (
    runs, flow_runs, flow_run_inputs, reported_runs, flows, deployments, schedules, limits, work_pools, block_types,
    blocks, variables, artifacts, automations, events, logs, fleet,
)  # fmt: skip
ENDPOINTS: Final = [endpoint for module in MODULES for endpoint in module.ENDPOINTS]


def openapi(request: Request) -> Response:
    """``GET /api/openapi.json``."""
    queries_for(request, VIEWER, in_part=True)
    from brokers.version import __version__

    return JSONResponse(document(ENDPOINTS, __version__, request.scope["app_root_path"]))


def docs(request: Request) -> Response:
    """``GET /api/docs``: the same for people."""
    queries_for(request, VIEWER, in_part=True)
    from brokers.version import __version__

    root: str = request.scope["app_root_path"]
    return HTMLResponse(page(document(ENDPOINTS, __version__, root), root))


def style(request: Request) -> Response:
    """``GET /api/docs.css``."""
    return PlainTextResponse(STYLE, media_type="text/css")


def routes() -> list[BaseRoute]:
    """All of it, below ``/api``."""
    return [
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/docs.css", style),
        *(endpoint.route() for endpoint in ENDPOINTS),
    ]
