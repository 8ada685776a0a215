"""The JSON API: everything that the pages show and do, for programs."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from orchestrator.server.api import fleet, flows, runs
from orchestrator.server.api.document import STYLE, document, page

ENDPOINTS: Final = [*runs.ENDPOINTS, *flows.ENDPOINTS, *fleet.ENDPOINTS]


def openapi(request: Request) -> Response:
    """``GET /api/openapi.json``."""
    from orchestrator import __version__

    return JSONResponse(document(ENDPOINTS, __version__, request.scope["app_root_path"]))


def docs(request: Request) -> Response:
    """``GET /api/docs``: the same for people."""
    from orchestrator import __version__

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
