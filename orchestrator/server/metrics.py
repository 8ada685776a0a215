"""``/metrics``: the fleet's figures from the store, for Prometheus. It needs the token, as everything else here."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from orchestrator.client.fleet import Fleet
from orchestrator.errors import ConfigurationError
from orchestrator.observability.metrics import fleet_page
from orchestrator.people.roles import VIEWER
from orchestrator.server.access import queries_for


def metrics_routes(fleet: Fleet) -> list[Route]:
    """The route."""

    async def metrics(request: Request) -> Response:
        try:
            queries_for(request, VIEWER, in_part=False)
            body, content_type = await run_in_threadpool(fleet_page, fleet, request.headers.get("accept", ""))
        except ConfigurationError as error:  # prometheus-client is not installed
            return PlainTextResponse(f"{error}\n", 501)
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", metrics)]
