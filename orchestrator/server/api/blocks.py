"""Blocks over HTTP, as Prefect's clients ask for them. Nobody is given a secret."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException

from orchestrator.errors import ObjectNotFound, ParameterTypeError
from orchestrator.people.roles import EDITOR, VIEWER
from orchestrator.server.api import block_requests as requests
from orchestrator.server.api.block_responses import BlockDocumentAnswer, block_answer
from orchestrator.server.api.block_types import CHANGE, NO_TYPE, page_of, row, type_in
from orchestrator.server.api.endpoint import Call
from orchestrator.server.queries.blocks import BlockView

NO_BLOCK: Final = "There is no such block"
_SECRETS: Final = (
    "Nobody is given secrets over HTTP: programs load blocks from the store. That this was asked for is in the audit"
)


def _refuse_secrets(call: Call, wanted: bool, what: str) -> None:
    if wanted:
        call.queries.blocks.note_wish_for_secrets(what)
        raise HTTPException(403, _SECRETS)


def _blocks_of_type(call: Call) -> list[BlockDocumentAnswer]:
    slug = type_in(call).slug
    _refuse_secrets(call, call.query.include_secrets, slug)
    return [block_answer(view) for view in call.queries.blocks.all() if view.record.slug == slug and view.record.name]


def _block_by_name(call: Call) -> BlockDocumentAnswer:
    slug, name = call.path["slug"], call.path["name"]
    _refuse_secrets(call, call.query.include_secrets, f"{slug}/{name}")
    return block_answer(call.queries.blocks.named(slug, name))


def _matching(call: Call) -> list[BlockView]:
    return [view for view in call.queries.blocks.all() if call.body.fits(view)]


def _filter(call: Call) -> list[BlockDocumentAnswer]:
    _refuse_secrets(call, call.body.include_secrets, "a list")
    found, sort = _matching(call), call.body.sort or "NAME_ASC"
    by_type = sort == "BLOCK_TYPE_AND_NAME_ASC"
    found.sort(key=lambda view: (view.record.slug if by_type else "", view.record.name), reverse=sort == "NAME_DESC")
    return [block_answer(view) for view in page_of(call, found)]


def _show(call: Call) -> BlockDocumentAnswer:
    _refuse_secrets(call, call.query.include_secrets, call.path["id"])
    return block_answer(call.queries.blocks.get(call.path["id"]))


def _create(call: Call) -> BlockDocumentAnswer:
    body = call.body
    if body.name is None and not body.is_anonymous:
        raise HTTPException(422, "name: a block has one unless it is anonymous")
    try:
        name = None if body.is_anonymous else body.name
        made = call.queries.blocks.create(body.block_type_id, name, body.data)
    except ParameterTypeError as error:
        raise HTTPException(422, str(error)) from None
    return block_answer(call.queries.blocks.get(made.id))


def _change(call: Call) -> None:
    try:
        call.queries.blocks.change(call.path["id"], call.body.data, merge=call.body.merge_existing_data)
    except ParameterTypeError as error:
        raise HTTPException(422, str(error)) from None


def _delete(call: Call) -> None:
    try:
        call.queries.blocks.delete(call.path["id"])
    except ObjectNotFound:
        raise HTTPException(404, NO_BLOCK) from None


_CONFLICT: Final = "There is one of that name, somebody else changes it now, or there is no key for its secrets"
ENDPOINTS: Final = [
    row(
        "GET",
        "/block_types/slug/{slug}/block_documents",
        _blocks_of_type,
        list[BlockDocumentAnswer],
        "The blocks of a type",
        query=requests.WithSecrets,
        missing=NO_TYPE,
        needs=VIEWER,
    ),
    row(
        "GET",
        "/block_types/slug/{slug}/block_documents/name/{name}",
        _block_by_name,
        BlockDocumentAnswer,
        "A block by its type and name",
        query=requests.WithSecrets,
        missing=NO_BLOCK,
        needs=VIEWER,
    ),
    row(
        "POST",
        "/block_documents/filter",
        _filter,
        list[BlockDocumentAnswer],
        "Blocks, by name",
        body=requests.BlocksList,
        needs=VIEWER,
    ),
    row(
        "POST",
        "/block_documents/count",
        lambda call: len(_matching(call)),
        int,
        "How many there are",
        body=requests.BlocksQuery,
        needs=VIEWER,
    ),
    row(
        "POST",
        "/block_documents/",
        _create,
        BlockDocumentAnswer,
        "Write a new block",
        body=requests.BlockDocumentCreate,
        missing=NO_TYPE,
        conflict=_CONFLICT,
        status=(201,),
        **CHANGE,
        needs=EDITOR,
    ),
    row(
        "GET",
        "/block_documents/{id}",
        _show,
        BlockDocumentAnswer,
        "One by its id",
        query=requests.WithSecrets,
        missing=NO_BLOCK,
        needs=VIEWER,
    ),
    row(
        "PATCH",
        "/block_documents/{id}",
        _change,
        None,
        "Change fields; secrets for which stars are sent stay",
        body=requests.BlockDocumentUpdate,
        missing=NO_BLOCK,
        conflict=_CONFLICT,
        status=(204,),
        **CHANGE,
        needs=EDITOR,
    ),
    row(
        "DELETE",
        "/block_documents/{id}",
        _delete,
        None,
        "Delete one",
        missing=NO_BLOCK,
        status=(204,),
        **CHANGE,
        needs=EDITOR,
    ),
]
