"""Limits by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from orchestrator.client.schemas.objects import GlobalConcurrencyLimit
from orchestrator.errors import ObjectNotFound


def _path(name: str) -> str:
    return path_of("v2", "concurrency_limits", name)


async def read_global_concurrency_limits(api: Api, /, limit: int = 10, offset: int = 0) -> list[GlobalConcurrencyLimit]:
    """The limits, what was written last first."""
    body = {"limit": limit, "offset": offset}
    return await api.many(GlobalConcurrencyLimit, Request("POST", "/v2/concurrency_limits/filter", body))


async def read_global_concurrency_limit_by_name(api: Api, /, name: str) -> GlobalConcurrencyLimit:
    """A limit. Raises ObjectNotFound."""
    return await api.one(
        GlobalConcurrencyLimit, Request("GET", _path(name)), missing=f"Concurrency limit {name!r} not found!"
    )


async def create_global_concurrency_limit(
    api: Api, /, concurrency_limit: GlobalConcurrencyLimitCreate | Mapping[str, Any]
) -> UUID:
    """Declare a limit; returns its id. Raises ApiConflict: there is one of that name."""
    request = Request("POST", "/v2/concurrency_limits/", concurrency_limit)
    return (await api.one(GlobalConcurrencyLimit, request, creates=True)).id


async def update_global_concurrency_limit(
    api: Api, /, name: str, concurrency_limit: GlobalConcurrencyLimitUpdate | Mapping[str, Any]
) -> None:
    """Change what is given; holds at once for what has not begun. Raises ObjectNotFound."""
    await api.ask(Request("PATCH", _path(name), concurrency_limit))


async def delete_global_concurrency_limit_by_name(api: Api, /, name: str) -> None:
    """Forget a limit. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", _path(name)))


async def upsert_global_concurrency_limit_by_name(
    api: Api, /, name: str, limit: int, slot_decay_per_second: float | None = None
) -> None:
    """Declare a limit, or change the one of that name."""
    fields = given(limit=limit, slot_decay_per_second=slot_decay_per_second)
    try:
        await update_global_concurrency_limit(api, name, fields)
    except ObjectNotFound:
        await create_global_concurrency_limit(api, {"name": name, **fields})
