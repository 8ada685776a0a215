"""Clients for events by the names that Prefect 3 has (``prefect.events.clients``)."""

from __future__ import annotations

import asyncio

from orchestrator.client.fleet import current_fleet
from orchestrator.events.filters import EventFilter
from orchestrator.events.schemas.events import Event
from orchestrator.events.stored import stored_from
from orchestrator.events.subscription import Subscription, subscribe


class EventsClient:
    """Writes events: ``async with get_events_client() as client: await client.emit(event)``."""

    async def emit(self, event: Event) -> Event:
        """Write an event; it is in the store when this returns.

        Raises:
            ValueError: its payload is no JSON, or too large.
            BrokerError: the store does not answer.
        """
        await asyncio.to_thread(current_fleet().broker.events.append, [stored_from(event)])
        return event

    async def __aenter__(self) -> EventsClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        """There is nothing to close."""


def get_events_client() -> EventsClient:
    """What writes events.

    >>> isinstance(get_events_client(), EventsClient)
    True
    """
    return EventsClient()


def get_events_subscriber(filter: EventFilter | None = None) -> Subscription:
    """What follows events: ``async with get_events_subscriber() as events: async for event in events: ...``

    Raises:
        BrokerError: the store does not answer now.
    """
    return subscribe(filter)
