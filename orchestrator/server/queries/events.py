"""Events: found in pages, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.events.filters import EventFilter
from orchestrator.events.names import PREFECTS, as_prefect, resource_id
from orchestrator.events.schemas.events import Event, Resource
from orchestrator.events.search import EventPage, find_events
from orchestrator.events.stored import stored_from
from orchestrator.people.rights import NotAllowed
from orchestrator.server.queries.context import QueryContext, page_size
from orchestrator.server.queries.runs import PAGE

SECONDS: Final = 0.1  # that one page may search: it goes on with the next one


class EventQueries:
    """The events of the fleet. Writing them raises ReadOnly on a server that refuses actions."""

    def __init__(self, context: QueryContext) -> None:
        self._context = context

    def find(self, wanted: EventFilter, after: str | None = None, limit: int = PAGE) -> EventPage:
        """A page; see :func:`orchestrator.events.search.find_events`."""
        fits = self._has if self._context.reach is not None else None
        return find_events(self._context.fleet.broker, wanted, page_size(limit), after, SECONDS, fits)

    def _has(self, event: Event) -> bool:
        """Whether it happened to something in reach, or has to do with it."""
        return any(map(self._reaches, event.involved_resources))

    def _reaches(self, resource: Resource) -> bool:
        """Whether it is something of ours that is in reach. A pool's name is not believed: anybody can write one."""
        reach, the_id = self._context.reach, as_prefect(resource.id)
        if reach is None:
            return True
        for kind, has in (
            ("deployment", reach.deployments.__contains__),
            ("flow-run", reach.has_flow_run_named),
            ("work-pool", reach.pool_ids.__contains__),
        ):
            start = resource_id(kind, "")
            if the_id.startswith(start):
                return has(the_id.removeprefix(start))
        return False

    def _must_be_theirs(self, event: Event) -> None:
        """An event has effects, so somebody with a scope writes none of what is ours, or about things of others.

        Raises:
            ObjectNotFound: a deployment, flow run or work pool that is not in reach, or none that is.
            NotAllowed: a name that only the program itself gives.
        """
        if self._context.reach is None:
            return
        if event.event.startswith(PREFECTS):
            raise NotAllowed(
                f"events named {PREFECTS}* are written by the program itself, or by who has the role over everything: "
                "give yours another name, such as 'shop.order.paid'"
            )
        ours = [one for one in event.involved_resources if as_prefect(one.id).startswith(PREFECTS)]
        self._context.must_reach("such resource", bool(ours) and all(map(self._reaches, ours)))

    def write(self, events: Sequence[Event]) -> None:
        """Write events, all or none.

        Raises:
            PayloadTooLarge. ValueError: a payload that is no JSON. ReadOnly.
            ObjectNotFound, NotAllowed: it is not for this person to say that something happened there.
        """
        self._context.must_write()
        for event in events:
            self._must_be_theirs(event)
        self._context.fleet.broker.events.append([stored_from(event) for event in events])
