"""Automations, and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import body_of
from orchestrator.client.schemas.objects import Automation
from orchestrator.errors import ObjectNotFound
from orchestrator.events.filters import EventFilter
from orchestrator.events.schemas.automations import AutomationCore
from orchestrator.events.schemas.events import ReceivedEvent


class EventPage(BaseModel):
    """Some events. Follows Prefect 3.

    Attributes:
        total: at least so many match; exact where ``next_page`` is ``None``.
        next_page: the address of the next page, below that of the API.
    """

    events: list[ReceivedEvent]
    total: int
    next_page: str | None = None


async def read_automations(
    api: Api, /, *, automations: Mapping[str, Any] | None = None, limit: int | None = None, offset: int = 0
) -> list[Automation]:
    """The automations that match, by name; at most 200 (50 unless ``limit`` says)."""
    body = body_of({}, automations=automations, limit=limit, offset=offset)
    return await api.many(Automation, Request("POST", "/automations/filter", body))


async def read_automations_by_name(api: Api, /, name: str) -> list[Automation]:
    """Those of that name."""
    return await read_automations(api, automations={"name": {"any_": [name]}})


async def read_automation(api: Api, /, automation_id: UUID | str) -> Automation | None:
    """An automation by its id; ``None`` if there is none."""
    try:
        return await api.one(Automation, Request("GET", path_of("automations", automation_id)))
    except ObjectNotFound:
        return None


async def find_automation(api: Api, /, id_or_name: UUID | str) -> Automation | None:
    """An automation by its id or name; ``None`` if there is none."""
    found = await read_automation(api, id_or_name)
    return found or next(iter(await read_automations_by_name(api, str(id_or_name))), None)


async def create_automation(api: Api, /, automation: AutomationCore | Mapping[str, Any]) -> UUID:
    """Make an automation; returns its id. Raises ApiError: a part of it cannot be one."""
    return (await api.one(Automation, Request("POST", "/automations/", automation), creates=True)).id


async def update_automation(
    api: Api, /, automation_id: UUID | str, automation: AutomationCore | Mapping[str, Any]
) -> None:
    """Have it be this one. Raises ObjectNotFound, ApiError."""
    await api.ask(Request("PUT", path_of("automations", automation_id), automation))


async def pause_automation(api: Api, /, automation_id: UUID | str) -> None:
    """It fires no more. Raises ObjectNotFound."""
    await api.ask(Request("PATCH", path_of("automations", automation_id), {"enabled": False}))


async def resume_automation(api: Api, /, automation_id: UUID | str) -> None:
    """It fires again. Raises ObjectNotFound."""
    await api.ask(Request("PATCH", path_of("automations", automation_id), {"enabled": True}))


async def delete_automation(api: Api, /, automation_id: UUID | str) -> None:
    """Forget it. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", path_of("automations", automation_id)))


async def read_events(api: Api, /, filter: EventFilter | None = None, limit: int = 100) -> EventPage:
    """The events that match, the newest first unless the filter orders them; at most 200."""
    wanted = filter.model_dump(mode="json", exclude_unset=True) if filter is not None else None
    return await api.one(EventPage, Request("POST", "/events/filter", body_of({}, filter=wanted, limit=limit)))


async def read_events_page(api: Api, /, next_page_url: str) -> EventPage:
    """The page to which ``next_page`` of another one leads."""
    path, _, query = next_page_url.partition("?")
    path = "/events/" + path.partition("/events/")[2]
    names = (part.partition("=") for part in query.split("&") if part)
    return await api.one(EventPage, Request("GET", path, query={name: value for name, _, value in names}))
