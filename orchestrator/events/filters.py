"""Which events are wanted. Follows Prefect 3 (``prefect.events.filters``); names may have either prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from orchestrator.events.interest import EVERYTHING, Interest, interest_in
from orchestrator.events.names import as_prefect, fits
from orchestrator.events.schemas.events import Event, Resource, ResourceSpecification

_DAYS: Final = 180
_WORD: Final = re.compile(r'([-+!]?)(?:"([^"]*)"|(\S+))')


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_in_utc)]
Names = Annotated[list[str], AfterValidator(lambda names: [as_prefect(name) for name in names])]


class EventDataFilter(BaseModel):
    """A condition; its parts have to be true together."""

    model_config = ConfigDict(extra="forbid")

    def get_filters(self) -> list[EventDataFilter]:
        """The conditions of which it is made."""
        parts = (getattr(self, name) for name in type(self).model_fields)
        return [one for part in parts for one in _listed(part) if isinstance(one, EventDataFilter)]

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return all(part.includes(event) for part in self.get_filters())

    def excludes(self, event: Event) -> bool:
        """Whether it is not."""
        return not self.includes(event)


def _listed(part: Any) -> Iterable[Any]:
    return part if isinstance(part, list) else [part]


class EventOccurredFilter(EventDataFilter):
    """When it occurred, both ends included; what is not given is no condition."""

    since: Moment = Field(default_factory=lambda: datetime.now(UTC) - timedelta(days=_DAYS))
    until: Moment = Field(default_factory=lambda: datetime.now(UTC))

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        given = self.model_fields_set
        return not (
            ("since" in given and event.occurred < self.since) or ("until" in given and event.occurred > self.until)
        )


class EventNameFilter(EventDataFilter):
    """What it is called: wanted and unwanted beginnings, and whole names.

    ``pattern`` is ours: one of these, each a whole name, or the beginning of one with ``*`` after it.
    """

    prefix: Names | None = None
    exclude_prefix: Names | None = None
    name: Names | None = None
    exclude_name: Names | None = None
    pattern: Names | None = None

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        name = event.event
        if self.prefix and not name.startswith(tuple(self.prefix)):
            return False
        if self.exclude_prefix and name.startswith(tuple(self.exclude_prefix)):
            return False
        if self.pattern and not any(fits(one, name) for one in self.pattern):
            return False
        return not (self.name and name not in self.name) and name not in (self.exclude_name or ())


class EventResourceFilter(EventDataFilter):
    """What it happened to."""

    id: Names | None = None
    id_prefix: Names | None = None
    labels: ResourceSpecification | None = None
    distinct: bool = False

    @model_validator(mode="after")
    def _every_event(self) -> EventResourceFilter:
        if self.distinct:
            raise ValueError("distinct=True is not supported: every event of a resource is listed")
        return self

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return _fits(event.resource, self.id, self.id_prefix, self.labels)


class EventRelatedFilter(EventDataFilter):
    """What has to do with it."""

    id: Names | None = None
    role: list[str] | None = None
    resources_in_roles: list[tuple[str, str]] | None = None
    labels: ResourceSpecification | None = None

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        wanted = [(as_prefect(resource), role) for resource, role in self.resources_in_roles or ()]
        if not (self.id or self.role or wanted or self.labels):
            return True
        return any(
            (not self.role or one.role in self.role)
            and (not wanted or (one.id, one.role) in wanted)
            and _fits(one, self.id, None, self.labels)
            for one in event.related
        )


class EventAnyResourceFilter(EventDataFilter):
    """What it happened to, or what has to do with it."""

    id: Names | None = None
    id_prefix: Names | None = None
    labels: ResourceSpecification | None = None

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return any(_fits(one, self.id, self.id_prefix, self.labels) for one in event.involved_resources)


class EventIDFilter(EventDataFilter):
    """By its id."""

    id: list[UUID] | None = None

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return not self.id or event.id in self.id


class EventTextFilter(EventDataFilter):
    """Words in names, labels or payload: one of them, each after ``+``, none after ``-``; in double quotes several."""

    query: str = Field(max_length=200)

    def includes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        text = "\n".join(_texts_of(event)).lower()
        any_of, found = False, False
        for sign, quoted, word in _WORD.findall(self.query.lower()):
            is_there = (quoted or word) in text
            if (sign in ("-", "!") and is_there) or (sign == "+" and not is_there):
                return False
            if not sign:
                any_of, found = True, found or is_there
        return found or not any_of


class EventOrder(StrEnum):
    """In which order events come."""

    ASC = "ASC"
    DESC = "DESC"


class EventFilter(EventDataFilter):
    """All conditions together; what is left out means all.

    >>> wanted = EventFilter(event=EventNameFilter(prefix=["orchestrator.flow-run."]))
    >>> wanted.includes(Event(event="prefect.flow-run.Failed", resource={"prefect.resource.id": "prefect.flow-run.1"}))
    True
    """

    occurred: EventOccurredFilter = Field(default_factory=EventOccurredFilter)
    event: EventNameFilter | None = None
    resource: EventResourceFilter | None = None
    related: EventRelatedFilter | list[EventRelatedFilter] | None = None
    any_resource: EventAnyResourceFilter | list[EventAnyResourceFilter] | None = None
    id: EventIDFilter = Field(default_factory=EventIDFilter)
    text: EventTextFilter | None = None
    order: EventOrder = EventOrder.DESC

    @property
    def interest(self) -> Interest:
        """The kinds of events that may be wanted."""
        if self.event is None:
            return EVERYTHING
        beginnings = [f"{prefix}*" for prefix in self.event.prefix or ()]
        return interest_in(self.event.name or self.event.pattern or beginnings)


def _fits(
    resource: Resource, ids: list[str] | None, prefixes: list[str] | None, labels: ResourceSpecification | None
) -> bool:
    stored = as_prefect(resource.id)
    if ids and stored not in ids:
        return False
    if prefixes and not stored.startswith(tuple(prefixes)):
        return False
    return labels is None or labels.matches(resource)


def _texts_of(event: Event) -> Iterator[str]:
    yield event.event
    for resource in event.involved_resources:
        for label, value in resource.items():
            yield f"{label} {value}"
    yield repr(event.payload)
