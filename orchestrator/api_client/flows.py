"""Flows."""

from __future__ import annotations

from typing import Any, Unpack
from uuid import UUID

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import Sections, body_of
from orchestrator.client.schemas.objects import Flow
from orchestrator.client.schemas.sorting import FlowSort


async def read_flows(
    api: Api,
    /,
    *,
    sort: FlowSort | None = None,
    limit: int | None = None,
    offset: int = 0,
    **filters: Unpack[Sections],
) -> list[Flow]:
    """The flows that match, by name; at most 200 (50 unless ``limit`` says)."""
    return await api.many(
        Flow, Request("POST", "/flows/filter", body_of(filters, sort=sort, limit=limit, offset=offset))
    )


async def read_flow(api: Api, /, flow_id: UUID | str) -> Flow:
    """A flow by its id. Raises ObjectNotFound."""
    return await api.one(Flow, Request("GET", path_of("flows", flow_id)), missing=f"Flow {str(flow_id)!r} not found!")


async def read_flow_by_name(api: Api, /, flow_name: str) -> Flow:
    """A flow by its name. Raises ObjectNotFound."""
    return await api.one(
        Flow, Request("GET", path_of("flows", "name", flow_name)), missing=f"Flow {flow_name!r} not found!"
    )


async def create_flow(api: Api, /, flow: Any) -> UUID:
    """Have a flow be listed before it runs; the id of one that is there."""
    return await create_flow_from_name(api, flow.name)


async def create_flow_from_name(api: Api, /, flow_name: str) -> UUID:
    """As :func:`create_flow`, by its name."""
    return (await api.one(Flow, Request("POST", "/flows/", {"name": flow_name}))).id


async def count_flows(api: Api, /, **filters: Unpack[Sections]) -> int:
    """How many flows match (ours)."""
    return int(await api.value(Request("POST", "/flows/count", body_of(filters))))


async def delete_flow(api: Api, /, flow_id: UUID | str) -> None:
    """Forget a flow; while runs of it are kept, it is listed. Raises ObjectNotFound; ApiError: it has deployments."""
    await api.ask(Request("DELETE", path_of("flows", flow_id)), missing=f"Flow {str(flow_id)!r} not found!")
