"""Types of blocks and their schemas over HTTP, as Prefect's clients ask for them."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.blocks.record import BlockType, type_id_of
from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api import block_requests as requests
from orchestrator.server.api.block_responses import BlockSchemaAnswer, BlockTypeAnswer, schema_answer, type_answer
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.queries.blocks import with_changes
from orchestrator.server.queries.runs import PAGE

NO_TYPE: Final = "There is no such block type"
NO_SCHEMA: Final = "There is no such block schema"
TAG: Final = "Blocks"
CHANGE: Final[dict[str, Any]] = {"changes": True}


def page_of(call: Call, found: list[Any]) -> list[Any]:
    """The part of a list that is asked for."""
    call.headers["X-Total-Count"] = str(len(found))
    first = call.body.offset or 0
    return found[first : first + (call.body.limit or PAGE)]


# -- types -------------------------------------------------------------------------------------------------------------


def _types(call: Call) -> list[BlockTypeAnswer]:
    types, schemas = call.body.block_types, call.body.block_schemas
    found = [one for one in call.queries.blocks.types() if types is None or types.fits(one)]
    if schemas is not None:
        by_slug = {(one.slug, one.checksum): one for one in call.queries.blocks.schemas()}
        found = [one for one in found if schemas.fits(by_slug.get((one.slug, one.checksum)), one.id)]
    return [type_answer(one) for one in page_of(call, found)]


def type_in(call: Call) -> BlockType:
    """The type that a path names. Raises HTTPException: there is none."""
    wanted = call.path.get("slug") or call.path["id"]
    for one in call.queries.blocks.types():
        if wanted == (one.slug if "slug" in call.path else one.id):
            return one
    raise HTTPException(404, NO_TYPE)


def _create_type(call: Call) -> BlockTypeAnswer:
    body = call.body
    if any(one.slug == body.slug for one in call.queries.blocks.types()):
        raise HTTPException(409, f"Block type with slug {body.slug!r} already exists")
    type_id = type_id_of(call.queries.context.fleet.settings.namespace, body.slug)
    return type_answer(call.queries.blocks.write_type(BlockType(type_id, **body.model_dump())))


def _change_type(call: Call) -> None:
    changes = {name: getattr(call.body, name) for name in call.body.model_fields_set}
    call.queries.blocks.write_type(with_changes(type_in(call), changes))


def _delete_type(call: Call) -> None:
    call.queries.blocks.delete_type(type_in(call).slug)


# -- schemas -----------------------------------------------------------------------------------------------------------


def _schemas(call: Call) -> list[BlockSchemaAnswer]:
    types = {one.slug: one for one in call.queries.blocks.types()}
    wanted = call.body.block_schemas or requests.BlockSchemaFilter()
    found = [
        (one, types.get(one.slug))
        for one in call.queries.blocks.schemas()
        if wanted.fits(one, types[one.slug].id if one.slug in types else None)
    ]
    return [schema_answer(*pair) for pair in page_of(call, found)]


def _schema(call: Call) -> BlockSchemaAnswer:
    types = {one.slug: one for one in call.queries.blocks.types()}
    key = "checksum" if "checksum" in call.path else "id"
    for one in call.queries.blocks.schemas():
        if getattr(one, key) == call.path[key]:
            return schema_answer(one, types.get(one.slug))
    raise HTTPException(404, NO_SCHEMA)


def _capabilities(call: Call) -> list[str]:
    return sorted({name for one in call.queries.blocks.schemas() for name in one.capabilities})


def _create_schema(call: Call) -> BlockSchemaAnswer:
    body = call.body
    for one in call.queries.blocks.types():
        if one.id == body.block_type_id:
            return schema_answer(
                call.queries.blocks.write_schema(one, body.fields, body.capabilities, body.version), one
            )
    raise HTTPException(404, NO_TYPE)


def _delete_schema(call: Call) -> None:
    if not call.queries.blocks.delete_schema(call.path["id"]):
        raise HTTPException(404, NO_SCHEMA)


def row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    """An endpoint about blocks."""
    return Endpoint(method, path, do, gives, summary, TAG, **more)


_TYPES: Final = [
    row(
        "POST",
        "/block_types/filter",
        _types,
        list[BlockTypeAnswer],
        "Types, by their slugs",
        body=requests.TypesQuery,
        needs=VIEWER,
    ),
    row(
        "POST",
        "/block_types/",
        _create_type,
        BlockTypeAnswer,
        "Describe a new type",
        body=requests.BlockTypeCreate,
        conflict="There is one of that slug",
        status=(201,),
        **CHANGE,
        needs=EDITOR,
    ),
    row(
        "GET",
        "/block_types/slug/{slug}",
        lambda call: type_answer(type_in(call)),
        BlockTypeAnswer,
        "One by its slug",
        missing=NO_TYPE,
        needs=VIEWER,
    ),
    row(
        "GET",
        "/block_types/{id}",
        lambda call: type_answer(type_in(call)),
        BlockTypeAnswer,
        "One by its id",
        missing=NO_TYPE,
        needs=VIEWER,
    ),
    row(
        "PATCH",
        "/block_types/{id}",
        _change_type,
        None,
        "Change texts of a type",
        body=requests.BlockTypeUpdate,
        missing=NO_TYPE,
        status=(204,),
        **CHANGE,
        needs=EDITOR,
    ),
    row(
        "DELETE",
        "/block_types/{id}",
        _delete_type,
        None,
        "Delete a type with its blocks",
        missing=NO_TYPE,
        status=(204,),
        **CHANGE,
        needs=EDITOR,
    ),
]
_SCHEMAS: Final = [
    row(
        "POST",
        "/block_schemas/filter",
        _schemas,
        list[BlockSchemaAnswer],
        "Schemas of types",
        body=requests.SchemasQuery,
        needs=VIEWER,
    ),
    row(
        "GET", "/block_schemas/capabilities", _capabilities, list[str], "What blocks of some type can do", needs=VIEWER
    ),
    row(
        "GET",
        "/block_schemas/checksum/{checksum}",
        _schema,
        BlockSchemaAnswer,
        "One by its checksum",
        missing=NO_SCHEMA,
        needs=VIEWER,
    ),
    row(
        "POST",
        "/block_schemas/",
        _create_schema,
        BlockSchemaAnswer,
        "Write a schema of a type, which is its last one then",
        body=requests.BlockSchemaCreate,
        missing=NO_TYPE,
        status=(201,),
        **CHANGE,
        needs=EDITOR,
    ),
    row("GET", "/block_schemas/{id}", _schema, BlockSchemaAnswer, "One by its id", missing=NO_SCHEMA, needs=VIEWER),
    row(
        "DELETE",
        "/block_schemas/{id}",
        _delete_schema,
        None,
        "Delete a schema",
        missing=NO_SCHEMA,
        status=(204,),
        **CHANGE,
        needs=EDITOR,
    ),
]
ENDPOINTS: Final = [*_TYPES, *_SCHEMAS]
