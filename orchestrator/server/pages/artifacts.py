"""Artifacts: by key, one key with its versions, and one artifact as what it is."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.artifacts.listing import ArtifactSearch
from orchestrator.artifacts.paging import RowsPage, Wanted, cell_text
from orchestrator.artifacts.record import ArtifactRecord
from orchestrator.errors import SerializationError
from orchestrator.people.roles import EDITOR
from orchestrator.server.api.artifacts import PICTURE_HEADERS
from orchestrator.server.pages import filters
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.markdown import MAX_RENDERED, is_followed, rendered
from orchestrator.server.pages.rendering import (
    STOP_POLLING,
    Form,
    action,
    done,
    missing,
    queries_of,
    query_value,
    render,
    screen,
)
from orchestrator.server.queries.runs import PAGE

SCREEN: Final = "/artifacts"
ROWS: Final = 50  # of a table on a page
LONGEST_CELL: Final = 1_000
_GONE: Final = "It was deleted, or has expired with its run. The artifacts page lists those that are there."


def artifacts_page(request: Request) -> Response:
    """The newest version of each key; or everything, the newest first."""
    queries, first = queries_of(request).artifacts, first_of(request, "lines")
    text, is_all = query_value(request, "text") or "", query_value(request, "all") == "1"
    if is_all:
        found = queries.list_all(first, PAGE)
        total = queries.count(ArtifactSearch())
    else:
        page = queries.newest_of_keys(text, first, PAGE)
        found, total = page.artifacts, page.total
    pairs = [("all", "1")] if is_all else [("text", text)] if text else []
    return render(
        request,
        "artifacts.html",
        screen=SCREEN,
        artifacts=found,
        total=total,
        text=text,
        is_all=is_all,
        **paging(SCREEN, first, total, pairs),
    )


def key_page(request: Request) -> Response:
    """The versions of a key."""
    key, first = request.path_params["key"], first_of(request, "lines")
    total, versions = queries_of(request).artifacts.versions(key, first, PAGE)
    if not total:
        return missing(request, f"Artifact {key[:80]!r}", _GONE)
    here = _address_of_key(key)
    return render(
        request,
        "artifact_key.html",
        screen=SCREEN,
        key=key,
        versions=versions,
        total=total,
        first=first,
        here=filters.address(here, [("first", str(first))] if first else []),
        start=here,
        older=filters.address(here, [("first", str(first + PAGE))]) if first + PAGE < total else None,
    )


def artifact_page(request: Request) -> Response:
    """One, as what it is; progress is followed while it goes on."""
    record = queries_of(request).artifacts.get(request.path_params["artifact_id"])
    if record is None:
        return missing(request, "The artifact", _GONE)
    is_part = request.headers.get("hx-request") == "true"
    goes_on = record.type == "progress" and _share(record.data) < 100
    return render(
        request,
        "artifact.html",
        status=STOP_POLLING if is_part and not goes_on else 200,
        screen=SCREEN,
        artifact=record,
        description=_shown_text(record.description),
        here=f"{SCREEN}/{record.id}",
        key_address=_address_of_key(record.key or ""),
        goes_on=goes_on,
        has_task_run=queries_of(request).artifacts.has_task_run(record),
        metadata=[(name[:100], value[:1_000]) for name, value in (record.metadata_ or {}).items()],
        **_contents(request, record),
    )


def _contents(request: Request, record: ArtifactRecord) -> dict[str, Any]:
    """What the page shows of it: ``shows`` says which part of the template."""
    if record.table is not None:
        return {"shows": "table", **_table(request, record)}
    if record.link is not None:
        return {"shows": "link", "address": record.link.url if is_followed(record.link.url) else ""}
    if record.image is not None:
        return {"shows": "picture"}
    data = record.data
    if record.type == "image" and isinstance(data, str):
        return {"shows": "picture elsewhere", "address": data if is_followed(data) else ""}
    if record.type == "progress" and isinstance(data, int | float):
        return {"shows": "progress", "share": _share(data)}
    if record.type == "markdown" and isinstance(data, str):
        return {"shows": "markdown", "text": _shown_text(data)}
    return {"shows": "nothing" if data is None else "text", "text": _shown_json(data)}


def _share(data: Any) -> float:
    is_number = isinstance(data, int | float) and not isinstance(data, bool)
    return max(0.0, min(100.0, data)) if is_number else 0.0


def _shown_text(text: str | None) -> dict[str, Any] | None:
    """A text as markdown; one that is too much for that as it was written, as far as a page shows it."""
    if not text:
        return None
    html = rendered(text)
    return {
        "html": html,
        "plain": text[:MAX_RENDERED] if html is None else "",
        "left": max(0, len(text) - MAX_RENDERED),
    }


def _shown_json(data: Any) -> dict[str, Any]:
    text = data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False)
    return {"html": None, "plain": text[:MAX_RENDERED], "left": max(0, len(text) - MAX_RENDERED)}


# -- tables --------------------------------------------------------------------------------------------------------


def _table(request: Request, record: ArtifactRecord) -> dict[str, Any]:
    columns = record.table.columns if record.table is not None else []
    offset, text = first_of(request, "lines", "offset"), query_value(request, "filter") or ""
    sort, descending = _column(request, columns), query_value(request, "order") == "desc"
    try:
        page = queries_of(request).artifacts.rows(record, offset, ROWS, Wanted(sort, descending, text))
        trouble = ""
    except SerializationError as error:
        page, trouble = RowsPage(0, [], []), str(error)
    chosen = [("filter", text)] if text else []
    order = [("sort", str(sort)), *([("order", "desc")] if descending else [])] if sort is not None else []

    def address(pairs: list[tuple[str, str]]) -> str:
        return filters.address(f"{SCREEN}/{record.id}", pairs)

    def sorted_by(at: int) -> str:
        again = at == sort and not descending
        return address([*chosen, ("sort", str(at)), *([("order", "desc")] if again else [])])

    return {
        "columns": [(name, sorted_by(at), at == sort) for at, name in enumerate(columns)],
        "rows": [[cell_text(cell)[:LONGEST_CELL] for cell in row] for row in page.rows],
        "places": page.places,
        "numeric": [all(_is_number(row, at) for row in page.rows) for at in range(len(columns))],
        "matching": page.total,
        "trouble": trouble,
        "filter": text,
        "order": order,
        "descending": descending,
        "offset": offset,
        "newer": address([*chosen, *order, *_at(max(0, offset - ROWS))]) if offset else None,
        "older": address([*chosen, *order, *_at(offset + ROWS)]) if offset + ROWS < page.total else None,
        "everything": address(order),
    }


def _at(offset: int) -> list[tuple[str, str]]:
    return [("offset", str(offset))] if offset else []


def _is_number(row: list[Any], at: int) -> bool:
    return at < len(row) and (row[at] is None or (isinstance(row[at], int | float) and not isinstance(row[at], bool)))


def _column(request: Request, columns: list[str]) -> int | None:
    text = query_value(request, "sort")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) < len(columns)):
        raise ValueError(f"sort={text[:40]!r} is no column of this table")
    return int(text)


def _address_of_key(key: str) -> str:
    return f"{SCREEN}/keys/{quote(key, safe='')}"


# -- pictures, and deleting ----------------------------------------------------------------------------------------


def picture(request: Request) -> Response:
    """The bytes of a kept picture, as what they are."""
    queries = queries_of(request).artifacts
    record = queries.get(request.path_params["artifact_id"])
    found = queries.picture(record) if record is not None else None
    if found is None:
        return missing(request, "The picture", _GONE)
    return Response(found[0], media_type=found[1], headers=PICTURE_HEADERS)


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    artifact_id, key = query_value(request, "id") or "", query_value(request, "key") or ""
    queries = queries_of(request).artifacts
    if key:
        total, _ = queries.versions(key, 0, 1)
        heading, text = f"Delete every version of {key[:100]}", f"{total:,} versions are deleted for good."
        fields, back = {"key": key}, _address_of_key(key)
    else:
        record = queries.get(artifact_id)
        total = 1 if record is not None else 0
        heading, text = "Delete the artifact", "This version is deleted for good. Others of its key stay."
        fields, back = {"id": artifact_id}, f"{SCREEN}/{quote(artifact_id, safe='')}"
    if not total:
        return missing(request, "The artifact", _GONE)
    return confirm(
        request,
        screen=SCREEN,
        heading=heading,
        text=text,
        to="/artifacts/delete",
        fields=fields,
        verb="Delete",
        back=back,
    )


def delete(request: Request, form: Form) -> Response:
    """Delete one, or every version of a key."""
    queries, key = queries_of(request).artifacts, form.get("key", "")
    count = queries.delete_key(key) if key else int(queries.delete(form.get("id", "")))
    if not count:
        return missing(request, "The artifact", _GONE)
    return done(request, SCREEN, "delete-artifacts", count)


ROUTES: Final = [
    Route("/artifacts", screen(artifacts_page, in_part=True)),
    Route("/artifacts/delete", screen(delete_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/artifacts/delete", action(delete, EDITOR, in_part=True), methods=["POST"]),
    Route("/artifacts/keys/{key}", screen(key_page, in_part=True)),
    Route("/artifacts/{artifact_id}", screen(artifact_page, in_part=True)),
    Route("/artifacts/{artifact_id}/image", screen(picture, in_part=True)),
]
