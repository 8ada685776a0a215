"""Events over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Final

from pydantic import Field, RootModel, ValidationError
from starlette.exceptions import HTTPException

from orchestrator.events.filters import EventFilter
from orchestrator.events.schemas.events import Event, ReceivedEvent
from orchestrator.people.roles import RUNNER, VIEWER
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.requests import Limit, Model
from orchestrator.server.queries.runs import PAGE

TAG: Final = "Events"
MOST_EVENTS: Final = 500  # in one request
LONGEST_TOKEN: Final = 8_000  # characters: it is a part of an address
NO_PAGE: Final = "This is no page token: take `next_page` of the page before as it is"


class NewEvents(RootModel[Annotated[list[Event], Field(max_length=MOST_EVENTS)]]):
    """Events to be written."""


class EventsList(Model):
    """Which events, and how many; what is left out means all."""

    filter: EventFilter | None = None
    limit: Limit | None = Field(default=None, description="50 unless given")


class EventPage(Model):
    """Some events, in the order that was asked for."""

    events: list[ReceivedEvent]
    total: int = Field(description="At least so many match; exact where `next_page` is null")
    next_page: str | None = Field(description="Address of the next page, below the API's; null: there is none")


class PageQuery(Model):
    """The next page of a list."""

    page_token: Annotated[str, Field(alias="page-token", max_length=LONGEST_TOKEN, pattern=r"^[A-Za-z0-9_-]+$")]


class _Next(Model):
    """What a page token says."""

    filter: EventFilter
    limit: Limit
    after: str
    seen: Annotated[int, Field(ge=0)]


def _create(call: Call) -> None:
    try:
        call.queries.events.write(call.body.root)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _filter(call: Call) -> EventPage:
    body = call.body
    return _page(call, body.filter or EventFilter(), body.limit or PAGE, None, 0)


def _next(call: Call) -> EventPage:
    try:
        token = base64.urlsafe_b64decode(call.query.page_token.encode() + b"==")
        wanted = _Next.model_validate_json(token)
        return _page(call, wanted.filter, wanted.limit, wanted.after, wanted.seen)
    except (binascii.Error, ValidationError, ValueError):
        raise HTTPException(403, NO_PAGE) from None


def _page(call: Call, wanted: EventFilter, limit: int, after: str | None, seen: int) -> EventPage:
    found = call.queries.events.find(wanted, after, limit)
    seen += len(found.events)
    if found.next is None:
        return EventPage(events=found.events, total=seen, next_page=None)
    # What was not given must not become a condition in the token, such as the moment of this request.
    given = wanted.model_dump(mode="json", exclude_unset=True)
    following = {"filter": given, "limit": limit, "after": found.next, "seen": seen}
    token = base64.urlsafe_b64encode(json.dumps(following).encode()).decode().rstrip("=")
    if len(token) > LONGEST_TOKEN:
        raise HTTPException(422, "the filter is too long for a list of several pages: ask for fewer names or ids")
    return EventPage(events=found.events, total=seen + 1, next_page=f"/events/filter/next?page-token={token}")


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/events{path}", do, gives, summary, TAG, in_part=True, **more)


ENDPOINTS: Final = [
    _row("POST", "", _create, None, "Write events", body=NewEvents, changes=True, status=(204,), needs=RUNNER),
    _row(
        "POST",
        "/filter",
        _filter,
        EventPage,
        "Those that match, newest first unless asked",
        body=EventsList,
        needs=VIEWER,
    ),
    _row("GET", "/filter/next", _next, EventPage, "The next page of them", query=PageQuery, needs=VIEWER),
]
