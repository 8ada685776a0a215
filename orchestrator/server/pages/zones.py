"""The zone of who reads a page: asked for in the address, or known to the browser's script only."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from starlette.requests import Request

from orchestrator.schedules.zones import zone_named
from orchestrator.server.pages.rendering import query_value

MAX_NAME = 100


def zone_of_reader(request: Request) -> ZoneInfo | None:
    """The zone that ``?zone=`` names. Raises ValueError: there is no such zone."""
    name = query_value(request, "zone")
    return None if name is None else zone_named(name[:MAX_NAME])


def zone_pairs(request: Request) -> list[tuple[str, str]]:
    """The choice, as parameters of an address."""
    name = query_value(request, "zone")
    return [] if name is None else [("zone", name)]
