"""Variables over HTTP, with the bodies that Prefect's clients send."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from starlette.exceptions import HTTPException

from orchestrator import variables
from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api.definitions import Offset, Tags
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.filters import IdFilter, NameFilter, TagsFilter
from orchestrator.server.api.requests import Filter, Limit, Model
from orchestrator.server.queries.runs import PAGE

NO_VARIABLE: Final = "There is no such variable"
TAG: Final = "Variables"
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,255}$")]


class Variable(Model):
    """A variable."""

    id: str
    created: datetime | None
    updated: datetime | None
    name: str
    value: Any
    tags: list[str]
    trouble: str | None = Field(description="Why it cannot be read here; its value is `null` then")


class VariableCreate(Model):
    """A new one."""

    name: Name
    value: Any = Field(description="Any JSON of up to 5,000 characters")
    tags: Tags | None = None


class VariableUpdate(Model):
    """What is to be changed; what is left out stays."""

    name: Name | None = None
    value: Any = Field(default=None, description="Any JSON of up to 5,000 characters")
    tags: Tags | None = None


class VariableFilter(Filter):
    """Which variables."""

    id: IdFilter | None = None
    name: NameFilter | None = None
    tags: TagsFilter | None = None

    def fits(self, one: variables.Variable) -> bool:
        """Whether it is wanted."""
        return (
            (self.id is None or self.id.fits(one.id))
            and (self.name is None or self.name.fits(one.name))
            and (self.tags is None or self.tags.fits(one.tags))
        )


class VariablesQuery(Model):
    """Which of them; what is left out means all."""

    variables: VariableFilter | None = None


class VariablesList(VariablesQuery):
    """Which, in which order, and how many."""

    limit: Limit | None = Field(default=None, description="50 unless given")
    offset: Offset = 0
    sort: Literal["CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC"] | None = None


def _answer(one: variables.Variable) -> Variable:
    return Variable(
        id=one.id,
        created=one.created,
        updated=one.updated,
        name=one.name,
        value=one.value,
        tags=one.tags,
        trouble=one.trouble or None,
    )


def _matching(call: Call) -> list[variables.Variable]:
    wanted = call.body.variables or VariableFilter()
    return [one for one in call.queries.variables.all() if wanted.fits(one)]


def _filter(call: Call) -> list[Variable]:
    found, sort = _matching(call), call.body.sort or "NAME_ASC"
    if sort.startswith("NAME"):
        found.sort(key=lambda one: one.name, reverse=sort == "NAME_DESC")
    elif sort == "CREATED_DESC":  # the store lists them as for UPDATED_DESC
        found.sort(key=lambda one: one.created.timestamp() if one.created is not None else 0.0, reverse=True)
    call.headers["X-Total-Count"] = str(len(found))
    return [_answer(one) for one in found[call.body.offset : call.body.offset + (call.body.limit or PAGE)]]


def _by_id(call: Call) -> variables.Variable:
    return _known(call.queries.variables.by_id(call.path["id"]))


def _by_name(call: Call) -> variables.Variable:
    return _known(call.queries.variables.get(call.path["name"]))


def _known(found: variables.Variable | None) -> variables.Variable:
    if found is None:
        raise HTTPException(404, NO_VARIABLE)
    return found


def _create(call: Call) -> Variable:
    body = call.body
    if call.queries.variables.get(body.name) is not None:
        raise HTTPException(409, f"Variable {body.name!r} already exists")
    try:
        call.queries.variables.create(body.name, body.value, body.tags or ())
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return _answer(_known(call.queries.variables.get(body.name)))


def _change(find: Callable[[Call], variables.Variable]) -> Callable[[Call], None]:
    def change(call: Call) -> None:
        body, before = call.body, find(call)
        if body.name not in (None, before.name) and call.queries.variables.get(body.name) is not None:
            raise HTTPException(409, f"Variable {body.name!r} already exists")
        if before.trouble and "value" not in body.model_fields_set:
            raise HTTPException(409, f"it cannot be read here, so that its value has to be given: {before.trouble}")
        value = body.value if "value" in body.model_fields_set else before.value
        tags = before.tags if body.tags is None else body.tags
        try:
            call.queries.variables.change(before, value, tags, body.name)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    return change


def _delete(find: Callable[[Call], variables.Variable]) -> Callable[[Call], None]:
    def delete(call: Call) -> None:
        call.queries.variables.delete(find(call).name)

    return delete


def _show(find: Callable[[Call], variables.Variable]) -> Callable[[Call], Variable]:
    return lambda call: _answer(find(call))


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/variables{path}", do, gives, summary, TAG, in_part=True, **more)


def _rows_of_one(path: str, by: str, find: Callable[[Call], variables.Variable]) -> list[Endpoint]:
    one: dict[str, Any] = {"missing": NO_VARIABLE}
    changes: dict[str, Any] = {**one, "changes": True, "status": (204,)}
    return [
        _row("GET", path, _show(find), Variable, f"One by its {by}", **one, needs=VIEWER),
        _row(
            "PATCH",
            path,
            _change(find),
            None,
            f"Change what is given, by its {by}",
            body=VariableUpdate,
            conflict="There is one of the new name, or somebody else changes it now",
            **changes,
            needs=EDITOR,
        ),
        _row("DELETE", path, _delete(find), None, f"Forget one, by its {by}", **changes, needs=EDITOR),
    ]


ENDPOINTS: Final = [
    _row(
        "POST",
        "/filter",
        _filter,
        list[Variable],
        "Variables, by name unless sorted otherwise",
        body=VariablesList,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/count",
        lambda call: len(_matching(call)),
        int,
        "How many there are",
        body=VariablesQuery,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/",
        _create,
        Variable,
        "Set a new one",
        body=VariableCreate,
        changes=True,
        conflict="There is one of that name",
        missing="It was deleted meanwhile",
        status=(201,),
        needs=EDITOR,
    ),
    *_rows_of_one("/name/{name}", "name", _by_name),
    *_rows_of_one("/{id}", "id", _by_id),
]
