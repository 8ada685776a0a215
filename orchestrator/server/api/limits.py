"""Limits by name, as Prefect's global concurrency limits. Places are taken by code and workers, not over HTTP."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api import definition_responses as answers
from orchestrator.server.api import definitions
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.definition_views import LimitView
from orchestrator.server.queries.runs import PAGE

NO_LIMIT: Final = "There is no such limit"
TAG: Final = "Concurrency limits"


def _known(call: Call) -> LimitView:
    """By its name, or the id that is made of it."""
    wanted = call.path["id"]
    found = call.queries.limits.get(wanted)
    if found is None:
        name = call.queries.limits.name_where(lambda name: answers.limit_id(name) == wanted)
        found = call.queries.limits.get(name) if name is not None else None
    if found is None:
        raise HTTPException(404, NO_LIMIT)
    return found


def _filter(call: Call) -> list[answers.ConcurrencyLimit]:
    page = call.queries.limits.newest(call.body.offset, call.body.limit or PAGE)
    call.headers["X-Total-Count"] = str(page.total)
    return [answers.limit_of(view) for view in page.limits]


def _create(call: Call) -> answers.ConcurrencyLimit:
    body = call.body
    try:
        call.queries.limits.declare(
            body.name,
            limit=body.limit,
            active=body.active,
            slot_decay_per_second=body.slot_decay_per_second,
            only_new=True,
        )
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    found = call.queries.limits.get(body.name)
    if found is None:
        raise HTTPException(409, "it has been deleted meanwhile")
    return answers.limit_of(found)


def _change(call: Call) -> None:
    call.queries.limits.declare(_known(call).limit.name, **call.body.given())


def _delete(call: Call) -> None:
    call.queries.limits.delete(_known(call).limit.name)


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/v2/concurrency_limits{path}", do, gives, summary, TAG, **more)


_CHANGES: Final[dict[str, Any]] = {"missing": NO_LIMIT, "changes": True, "status": (204,)}
ENDPOINTS: Final = [
    _row(
        "POST",
        "/filter",
        _filter,
        list[answers.ConcurrencyLimit],
        "All, last written first",
        body=definitions.LimitsList,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/",
        _create,
        answers.ConcurrencyLimit,
        "Declare one",
        body=definitions.LimitCreate,
        changes=True,
        conflict="There is one of that name",
        status=(201,),
        needs=EDITOR,
    ),
    _row(
        "GET",
        "/{id}",
        lambda call: answers.limit_of(_known(call)),
        answers.ConcurrencyLimit,
        "One by its name or id",
        missing=NO_LIMIT,
        needs=VIEWER,
    ),
    _row(
        "PATCH", "/{id}", _change, None, "Change what is given", body=definitions.LimitFields, **_CHANGES, needs=EDITOR
    ),
    _row("DELETE", "/{id}", _delete, None, "Forget it; nobody is held up by it any more", **_CHANGES, needs=EDITOR),
]
