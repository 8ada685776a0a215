"""Artifacts over HTTP, with the bodies that Prefect's clients send; pages of tables, and pictures."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field
from starlette.exceptions import HTTPException

from orchestrator.artifacts.paging import Wanted
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.errors import SerializationError
from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server.api.artifact_requests import (
    ArtifactCreate,
    ArtifactsList,
    ArtifactsQuery,
    ArtifactUpdate,
    LatestList,
    LatestQuery,
    RowsQuery,
)
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.requests import Model

NO_ARTIFACT: Final = "There is no such artifact"
TAG: Final = "Artifacts"
PICTURE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; sandbox",
    "content-disposition": "inline",
    "cache-control": "private, max-age=3600",
}


class Artifact(Model):
    """A version of a key, or one without a key."""

    id: str
    created: datetime
    updated: datetime
    key: str | None
    type: str
    description: str | None
    data: Any = Field(description="Of a table JSON text; `null` where `metadata_` says why")
    metadata_: dict[str, str] | None
    flow_run_id: str | None
    task_run_id: str | None


class ArtifactCollection(Artifact):
    """A key, with its newest version."""

    latest_id: str


class Rows(Model):
    """Some rows of a table."""

    columns: list[str]
    rows: list[list[Any]]
    total: int = Field(description="How many match")
    places: list[int] = Field(description="Where each stands in the whole table, from 0")


def _answer(record: ArtifactRecord) -> Artifact:
    facts = record.as_json() | {"created": record.created, "updated": record.updated}
    if record.trouble:
        facts["metadata_"] = {**(record.metadata_ or {}), "trouble": record.trouble}
    return Artifact(**facts)


def _collection(record: ArtifactRecord) -> ArtifactCollection:
    facts = _answer(record).model_dump()
    facts["id"] = str(uuid5(NAMESPACE_URL, f"artifact:{record.key}"))
    return ArtifactCollection(**facts, latest_id=str(record.id))


def _find(call: Call, *, latest: bool) -> list[ArtifactRecord]:
    search = call.body.search(call.body.artifacts, latest=latest)
    return call.queries.artifacts.find(
        search, call.body.sort or "CREATED_DESC", call.body.offset, call.body.limit or 200
    )


def _count(call: Call, *, latest: bool) -> int:
    return call.queries.artifacts.count(call.body.search(call.body.artifacts, latest=latest))


def _known(found: ArtifactRecord | None) -> ArtifactRecord:
    if found is None:
        raise HTTPException(404, NO_ARTIFACT)
    return found


def _one(call: Call) -> ArtifactRecord:
    return _known(call.queries.artifacts.get(call.path["id"].lower()))


def _create(call: Call) -> Artifact:
    try:
        return _answer(_known(call.queries.artifacts.create(call.body.draft())))
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _change(call: Call) -> None:
    body, record = call.body, _one(call)
    changes = {
        name: getattr(body, name) for name in ("data", "description", "metadata_") if name in body.model_fields_set
    }
    if "data" in changes and record.chunks:
        raise HTTPException(409, "The rows of a table and kept pictures do not change: create a new version of its key")
    try:
        found = call.queries.artifacts.change(record, changes)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    if not found:
        raise HTTPException(404, NO_ARTIFACT)


def _delete(call: Call) -> None:
    if not call.queries.artifacts.delete(call.path["id"].lower()):
        raise HTTPException(404, NO_ARTIFACT)


def _rows(call: Call) -> Rows:
    record, query = _one(call), call.query
    if record.table is None:
        raise HTTPException(404, "It is no table")
    columns = record.table.columns
    wanted = Wanted(_place(columns, query.sort), query.descending, query.filter or "", _place(columns, query.column))
    try:
        page = call.queries.artifacts.rows(record, query.offset, query.limit, wanted)
    except SerializationError as error:
        raise HTTPException(409, str(error)) from None
    return Rows(columns=columns, rows=page.rows, total=page.total, places=page.places)


def _place(columns: list[str], name: str | None) -> int | None:
    if name is None:
        return None
    if name not in columns:
        raise HTTPException(422, f"The table has no column {name[:100]!r}")
    return columns.index(name)


def _picture(call: Call) -> bytes:
    record = _one(call)
    try:
        found = call.queries.artifacts.picture(record)
    except SerializationError as error:
        raise HTTPException(409, str(error)) from None
    if found is None:
        raise HTTPException(404, "No picture is kept of it")
    call.headers.update(PICTURE_HEADERS, **{"content-type": found[1]})
    return found[0]


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/artifacts{path}", do, gives, summary, TAG, in_part=True, **more)


_ONE: Final[dict[str, Any]] = {"missing": NO_ARTIFACT}
_CHANGES: Final[dict[str, Any]] = {**_ONE, "changes": True, "status": (204,)}
_FITS: Final = "Its contents are not changed, or cannot be read here"
ENDPOINTS: Final = [
    _row(
        "POST",
        "/filter",
        lambda call: [_answer(one) for one in _find(call, latest=False)],
        list[Artifact],
        "Artifacts, every version",
        body=ArtifactsList,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/count",
        lambda call: _count(call, latest=False),
        int,
        "How many there are",
        body=ArtifactsQuery,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/latest/filter",
        lambda call: [_collection(one) for one in _find(call, latest=True)],
        list[ArtifactCollection],
        "Keys with their newest versions",
        body=LatestList,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/latest/count",
        lambda call: _count(call, latest=True),
        int,
        "How many keys",
        body=LatestQuery,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/",
        _create,
        Artifact,
        "Leave one",
        body=ArtifactCreate,
        changes=True,
        status=(201,),
        **_ONE,
        needs=RUNNER,
    ),
    _row(
        "GET",
        "/{key}/latest",
        lambda call: _answer(_known(call.queries.artifacts.newest_version(call.path["key"]))),
        Artifact,
        "The newest version of a key",
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/{id}/rows",
        _rows,
        Rows,
        "Rows of a table, sorted and filtered",
        query=RowsQuery,
        conflict=_FITS,
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/{id}/image",
        _picture,
        bytes,
        "A kept picture: PNG, JPEG, GIF or WebP",
        conflict=_FITS,
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/{id}",
        lambda call: _answer(_known(call.queries.artifacts.get_whole(call.path["id"].lower()))),
        Artifact,
        "One; of tables above 10,000 rows without them",
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "PATCH",
        "/{id}",
        _change,
        None,
        "Change what is given",
        body=ArtifactUpdate,
        conflict=_FITS,
        **_CHANGES,
        needs=RUNNER,
    ),
    _row("DELETE", "/{id}", _delete, None, "Forget one", **_CHANGES, needs=EDITOR),
]
