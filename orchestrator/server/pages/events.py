"""Events: what happened, newest first, with a filter."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.events.filters import EventFilter
from orchestrator.events.names import STATE_NAME, STATE_TYPE
from orchestrator.events.schemas.events import ReceivedEvent, Resource
from orchestrator.server.pages import filters
from orchestrator.server.pages.rendering import queries_of, query_value, render, screen

SCREEN: Final = "/events"
KINDS: Final = {
    "prefect.flow-run.*": "Flow runs",
    "prefect.task-run.*": "Task runs",
    "prefect.deployment.*": "Deployments",
    "prefect.schedule.*": "Schedules",
    "prefect.work-pool.*": "Work pools",
    "prefect.worker.*": "Workers",
    "prefect.artifact.*": "Artifacts",
    "prefect.automation.*": "Automations",
}
FIELDS: Final = ("kind", "event", "resource", "text", "last", "since", "until")
LONGEST_DETAILS: Final = 20_000  # characters of one event's labels and payload on the page
_LONGEST_TEXT: Final = 200
_PAGES: Final = {  # of whom there are pages, by the beginnings of their ids
    "prefect.flow-run.": "/flows/",
    "prefect.task-run.": "/runs/",
    "prefect.deployment.": "/deployments/",
    "prefect.schedule.": "/schedules/",
}


class ShownEvent(NamedTuple):
    """An event as the page shows it."""

    event: ReceivedEvent
    state: tuple[str, str] | None  # of a run: type and name
    link: str | None  # page of its resource
    related: list[tuple[str, str, str | None]]  # role, name, page
    details: str


def events_page(request: Request) -> Response:
    """The list. A filter that cannot be read is answered with what is wrong with it."""
    given = request.query_params
    pairs = [(name, text) for name in FIELDS if (text := given.get(name, "").strip())]
    page = queries_of(request).events.find(filter_of(dict(pairs)), query_value(request, "before"))
    return render(
        request,
        "events.html",
        screen=SCREEN,
        events=[shown(event) for event in page.events],
        given=dict(pairs),
        kinds=KINDS,
        spans=filters.SPANS,
        here=filters.address(SCREEN, pairs),
        older=filters.address(SCREEN, [*pairs, ("before", page.next)]) if page.next else None,
        looked_at=page.looked_at,
        is_first=query_value(request, "before") is None,
    )


def filter_of(given: dict[str, str], now: datetime | None = None) -> EventFilter:
    """The filter of a page; unreadable moments are ignored, as on other pages.

    >>> filter_of({"event": "shop."}).event.pattern
    ['shop.*']
    """
    conditions: dict[str, Any] = {}
    if pattern := given.get("event") or given.get("kind"):
        known = pattern in KINDS or "*" in pattern
        conditions["event"] = {"pattern": [pattern if known else f"{pattern}*"]}
    if resource := given.get("resource"):
        conditions["any_resource"] = {"labels": {"prefect.resource.id": resource}}
    if text := given.get("text"):
        conditions["text"] = {"query": text[:_LONGEST_TEXT]}
    moments = filters.moments_of(given)
    lately = filters.seconds_of(given.get("last", ""))
    if lately and moments[0] is None:
        moments = (now or datetime.now(UTC)) - timedelta(seconds=lately), moments[1]
    if occurred := {name: at for name, at in zip(("since", "until"), moments, strict=True) if at is not None}:
        conditions["occurred"] = occurred
    return EventFilter.model_validate(conditions)


def shown(event: ReceivedEvent) -> ShownEvent:
    """An event as the page shows it."""
    kind, name = event.resource.get(STATE_TYPE), event.resource.get(STATE_NAME)
    related = [(one.role, one.name or one.id.rpartition(".")[2], page_of(one)) for one in event.related]
    facts = {
        "id": str(event.id),
        "resource": event.resource.root,
        "related": [one.root for one in event.related],
        "payload": event.payload,
    }
    details = json.dumps(facts, indent=2, ensure_ascii=False, default=str)
    if len(details) > LONGEST_DETAILS:
        details = f"{details[:LONGEST_DETAILS]}\n… {len(details):,} characters, cut here"
    return ShownEvent(event, (kind, name) if kind and name else None, page_of(event.resource), related, details)


def page_of(resource: Resource) -> str | None:
    """Where its page is; ``None``: it has none.

    >>> page_of(Resource({"prefect.resource.id": "prefect.flow-run.a/b"}))
    '/flows/a%2Fb'
    """
    for beginning, path in _PAGES.items():
        if resource.id.startswith(beginning):
            return path + quote(resource.id[len(beginning) :], safe="")
    return None


ROUTES: Final = [Route(SCREEN, screen(events_page, in_part=True))]
