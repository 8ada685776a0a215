"""Automations over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException

from orchestrator.automations.deliveries import Delivery, FiringView
from orchestrator.automations.record import AutomationRecord
from orchestrator.errors import ObjectNotFound, SerializationError
from orchestrator.events.schemas.automations import AutomationCore
from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api.definitions import Offset, Tags
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.filters import BoolFilter, IdFilter, MomentFilter, NameFilter, TagsFilter
from orchestrator.server.api.requests import Filter, Limit, Model
from orchestrator.server.queries.runs import PAGE

NO_AUTOMATION: Final = "There is no such automation"
TAG: Final = "Automations"
Name = Annotated[str, Field(min_length=1, max_length=200)]
Actions = Annotated[list[dict[str, Any]], Field(max_length=50)]


class Automation(Model):
    """An automation."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    description: str
    enabled: bool
    tags: list[str]
    trigger: dict[str, Any] | None = Field(description="`null` where it cannot be read here")
    actions: list[dict[str, Any]]
    actions_on_trigger: list[dict[str, Any]]
    actions_on_resolve: list[dict[str, Any]]
    owner_resource: str | None
    trouble: str | None = Field(description="Why it cannot be read here")


class AutomationCreate(Model):
    """A new one; or what one is to be. The documentation of automations has the fields of triggers and actions."""

    name: Name
    description: Annotated[str, Field(max_length=20_000)] = ""
    enabled: bool = True
    tags: Tags | None = None
    trigger: dict[str, Any] = Field(description="By `type`: event, compound, sequence; event unless given")
    actions: Actions
    actions_on_trigger: Actions | None = None
    actions_on_resolve: Actions | None = None
    owner_resource: Annotated[str, Field(max_length=500)] | None = None


class AutomationPatch(Model):
    """What is to be changed."""

    enabled: bool


class AutomationFilter(Filter):
    """Which automations."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    tags: TagsFilter | None = None
    enabled: BoolFilter | None = None
    created: MomentFilter | None = None

    def fits(self, one: AutomationRecord) -> bool:
        """Whether it is wanted."""
        return (
            (self.id is None or self.id.fits(one.id))
            and (self.name is None or self.name.fits(one.name))
            and (self.tags is None or self.tags.fits(one.core.tags if one.core else ()))
            and (self.enabled is None or self.enabled.fits(one.enabled))
            and (self.created is None or self.created.fits(_moment(one.created_ms)))
        )


class AutomationsQuery(Model):
    """Which of them; what is left out means all."""

    automations: AutomationFilter | None = None


class AutomationsList(AutomationsQuery):
    """Which, in which order, and how many."""

    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0
    sort: Literal["CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC"] | None = None


class DeliveryAnswer(Model):
    """The call of an action."""

    id: str
    action: str
    state: str
    state_type: str
    tries: int
    message: str
    due: datetime | None = Field(description="When it is tried again")
    ended: datetime | None


class FiringAnswer(Model):
    """A firing, and what came of it."""

    id: str
    at: datetime
    event: str
    resource: str
    labels: dict[str, str]
    held: bool = Field(description="Nothing was done: it was set off by itself too often")
    deliveries: list[DeliveryAnswer]


class Firings(Model):
    """How many are passed over, and how many are given."""

    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0


def _moment(ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
    except (ValueError, OverflowError, OSError):
        return None


def _answer(one: AutomationRecord) -> Automation:
    facts = one.core.model_dump(mode="json") if one.core is not None else {}
    return Automation(
        id=one.id,
        created=_moment(one.created_ms),
        updated=_moment(one.written_at_ms),
        name=one.name,
        description=facts.get("description", ""),
        enabled=one.enabled,
        tags=facts.get("tags", []),
        trigger=facts.get("trigger"),
        actions=facts.get("actions", []),
        actions_on_trigger=facts.get("actions_on_trigger", []),
        actions_on_resolve=facts.get("actions_on_resolve", []),
        owner_resource=facts.get("owner_resource"),
        trouble=one.trouble or None,
    )


def _matching(call: Call) -> list[AutomationRecord]:
    wanted = call.body.automations or AutomationFilter()
    return [one for one in call.queries.automations.all() if wanted.fits(one)]


def _filter(call: Call) -> list[Automation]:
    found, sort = _matching(call), call.body.sort or "NAME_ASC"
    if sort == "NAME_DESC":
        found.reverse()
    elif sort != "NAME_ASC":
        found.sort(key=lambda one: one.created_ms if sort == "CREATED_DESC" else one.written_at_ms, reverse=True)
    call.headers["X-Total-Count"] = str(len(found))
    return [_answer(one) for one in found[call.body.offset : call.body.offset + (call.body.limit or PAGE)]]


def _one(call: Call) -> AutomationRecord:
    found = call.queries.automations.get(call.path["id"])
    if found is None or found.id != call.path["id"]:
        raise HTTPException(404, NO_AUTOMATION)
    return found


def _written(call: Call, write: Callable[[AutomationCore], AutomationRecord]) -> AutomationRecord:
    given = {name: value for name, value in call.body.model_dump().items() if value is not None}
    try:
        return write(AutomationCore(**given))
    except ValidationError as error:
        raise HTTPException(422, "; ".join(map(_in_words, error.errors(include_url=False)))) from None
    except (ObjectNotFound, ValueError) as error:
        raise HTTPException(422, str(error)) from None


def _in_words(detail: Any) -> str:
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def _create(call: Call) -> Automation:
    return _answer(_written(call, call.queries.automations.create))


def _replace(call: Call) -> None:
    before = _one(call)
    _written(call, partial(call.queries.automations.update, before.id))


def _patch(call: Call) -> None:
    call.queries.automations.switch(_one(call).id, call.body.enabled)


def _delete(call: Call) -> None:
    call.queries.automations.delete([_one(call).id])


def _related(call: Call) -> list[Automation]:
    wanted = call.path["resource_id"]
    return [_answer(one) for one in call.queries.automations.all() if one.core and one.core.owner_resource == wanted]


def _delete_owned(call: Call) -> None:
    call.queries.automations.delete([one.id for one in _related(call)])


def _firings(call: Call) -> list[FiringAnswer]:
    page = call.queries.automations.firings(_one(call).id, call.body.offset, call.body.limit or PAGE)
    call.headers["X-Total-Count"] = str(page.total)
    return [_firing(one) for one in page.firings]


def _firing(one: FiringView) -> FiringAnswer:
    return FiringAnswer(
        id=one.id,
        at=one.at,
        event=one.event,
        resource=one.resource,
        labels=one.labels,
        held=one.held,
        deliveries=[_delivery(each) for each in one.deliveries],
    )


def _delivery(one: Delivery) -> DeliveryAnswer:
    return DeliveryAnswer(**{name: getattr(one, name) for name in DeliveryAnswer.model_fields})


def _test(call: Call) -> int:
    try:
        return call.queries.automations.fire(_one(call))
    except SerializationError as error:
        raise HTTPException(409, str(error)) from None


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/automations{path}", do, gives, summary, TAG, **more)


_CHANGE: Final[dict[str, Any]] = {"missing": NO_AUTOMATION, "changes": True, "status": (204,), "needs": EDITOR}
_CONFLICT: Final = "Another one has the name, or somebody else changes it now"

ENDPOINTS: Final = [
    _row("POST", "/filter", _filter, list[Automation], "Automations, by name", body=AutomationsList, needs=VIEWER),
    _row(
        "POST",
        "/count",
        lambda call: len(_matching(call)),
        int,
        "How many there are",
        body=AutomationsQuery,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/",
        _create,
        Automation,
        "Make one; repeated, it is the same one",
        body=AutomationCreate,
        changes=True,
        conflict=_CONFLICT,
        status=(201,),
        needs=EDITOR,
    ),
    _row(
        "GET", "/related-to/{resource_id}", _related, list[Automation], "Those that belong to a resource", needs=VIEWER
    ),
    _row(
        "DELETE",
        "/owned-by/{resource_id}",
        _delete_owned,
        None,
        "Forget those that belong to a resource",
        changes=True,
        status=(202,),
        needs=EDITOR,
    ),
    _row(
        "GET",
        "/{id}",
        lambda call: _answer(_one(call)),
        Automation,
        "One by its id",
        missing=NO_AUTOMATION,
        needs=VIEWER,
    ),
    _row("PUT", "/{id}", _replace, None, "Have one be this", body=AutomationCreate, conflict=_CONFLICT, **_CHANGE),
    _row("PATCH", "/{id}", _patch, None, "Enable or disable one", body=AutomationPatch, **_CHANGE),
    _row("DELETE", "/{id}", _delete, None, "Forget one", **_CHANGE),
    _row(
        "POST",
        "/{id}/firings",
        _firings,
        list[FiringAnswer],
        "Its firings, the newest first, and what came of them",
        body=Firings,
        missing=NO_AUTOMATION,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/{id}/test",
        _test,
        int,
        "Fire it once, now; how many actions are done",
        missing=NO_AUTOMATION,
        conflict="It cannot be read here",
        changes=True,
        needs=EDITOR,
    ),
]
