"""Blocks as pages: listed by type, shown, and made, changed and deleted by forms made from their schemas.

Secrets are never among what is shown: fields for them are empty, and one that is left empty stays what it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brokers.errors import BrokerConflict
from orchestrator.blocks.record import BlockSchema, BlockType
from orchestrator.deployments.record import DeploymentRecord
from orchestrator.errors import ConfigurationError, ObjectNotFound, ParameterTypeError
from orchestrator.observability.redaction import Redaction
from orchestrator.people.roles import EDITOR
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, query_value, render, screen
from orchestrator.server.pages.run_form import NEEDED, Field, fields_of, read_form, with_texts
from orchestrator.server.pages.variables import value_of_text
from orchestrator.server.queries.blocks import BlockView

SCREEN: Final = "/blocks"
MOST_SHOWN: Final = 1000
_GONE: Final = "It was deleted. The blocks page lists those that are there."
_NO_TYPE: Final = "The blocks page lists the types that are known; a program registers its own by saving a block."
_STAYS: Final = "empty: it stays as it is"


class _SecretFields(Redaction):
    """Hides the fields that a schema calls secret, and no others."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        super().__init__([])
        found = schema.get("secret_fields")
        self._fields = {str(one).partition(".")[0] for one in found} if isinstance(found, list) else set()

    def hides(self, name: object) -> bool:
        return name in self._fields


def blocks_page(request: Request) -> Response:
    """All that have names, by type."""
    queries = queries_of(request).blocks
    views = sorted((view for view in queries.all() if view.record.name), key=_by_type)
    return render(
        request,
        "blocks.html",
        screen=SCREEN,
        groups=[(slug, list(some)) for slug, some in groupby(views[:MOST_SHOWN], key=lambda view: view.record.slug)],
        left_out=max(len(views) - MOST_SHOWN, 0),
        types=queries.types(),
    )


def _by_type(view: BlockView) -> tuple[str, str]:
    return view.record.slug, view.record.name


def block_page(request: Request) -> Response:
    """One of them."""
    view = _view(request, query_value(request, "id") or "")
    if view is None:
        return missing(request, "This block", _GONE)
    rows = [
        (name, value if isinstance(value, str) else json.dumps(value, indent=2)) for name, value in view.data.items()
    ]
    return render(request, "block.html", screen=SCREEN, view=view, rows=rows)


def new_page(request: Request) -> Response:
    """The form for a new block of a type."""
    try:
        block_type, schema = queries_of(request).blocks.type_and_schema(query_value(request, "type") or "")
    except ObjectNotFound as error:
        return missing(request, "This block type", f"{error}. {_NO_TYPE}")
    return _form(request, block_type, None, _fields(schema, None))


def edit_page(request: Request) -> Response:
    """The form for one that is there."""
    view = _view(request, query_value(request, "id") or "")
    if view is None:
        return missing(request, "This block", _GONE)
    try:
        block_type, schema = queries_of(request).blocks.type_and_schema(view.record.slug)
    except ObjectNotFound as error:
        return missing(request, "The type of this block", f"{error}. {_NO_TYPE}")
    return _form(request, block_type, view, _fields(schema, view))


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    view = _view(request, query_value(request, "id") or "")
    if view is None:
        return missing(request, "This block", _GONE)
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete block {view.record.full_name}",
        text="Code that loads it fails from then on, and so does a block that has it as a part.",
        to="/blocks/delete",
        fields={"id": view.record.id},
        verb="Delete the block",
        back=f"{SCREEN}/show?id={view.record.id}",
    )


def _view(request: Request, block_id: str) -> BlockView | None:
    try:
        return queries_of(request).blocks.get(block_id)
    except ObjectNotFound:
        return None


def _carrier(schema: BlockSchema, view: BlockView | None) -> DeploymentRecord:
    """Schema and values as forms take them: those of a deployment."""
    return DeploymentRecord(
        "block", "block", "block", parameters=view.data if view else {}, parameter_schema=schema.fields,
        enforce_parameter_schema=False,
    )  # fmt: skip


def _fields(schema: BlockSchema, view: BlockView | None) -> list[Field]:
    fields = fields_of(_carrier(schema, view), _SecretFields(schema.fields))
    has = {path[0] for path in view.record.sealed} if view is not None else set()
    return [
        replace(
            field,
            hint=(_STAYS if field.name in has else _hint_of(field)) if field.is_secret else field.hint,
            is_required=field.is_required and field.name not in has,
        )
        for field in fields
    ]


def _hint_of(field: Field) -> str:
    return "a secret: JSON, or a text" if field.kind == "json" else "a secret"


def _form(
    request: Request,
    block_type: BlockType,
    view: BlockView | None,
    fields: list[Field],
    wrong: str = "",
    name: str = "",
) -> Response:
    is_wrong = bool(wrong) or any(field.error for field in fields)
    return render(
        request,
        "block_form.html",
        status=422 if is_wrong else 200,
        screen=SCREEN,
        block_type=block_type,
        view=view,
        fields=fields,
        wrong=wrong,
        name=name,
    )


def act_on_block(request: Request, form: Form) -> Response:
    """Make a block, change one, or delete it."""
    queries, what = queries_of(request).blocks, request.path_params["what"]
    queries_of(request).context.must_write()
    if what == "create":
        return _create(request, form)
    view = _view(request, form.get("id", ""))
    if view is None:
        return missing(request, "This block", _GONE)
    if what == "delete":
        queries.delete(view.record.id)
        return done(request, SCREEN, "delete-block")
    if what != "change":
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the blocks page.")
    return _change(request, form, view)


def _create(request: Request, form: Form) -> Response:
    queries, name = queries_of(request).blocks, form.get("name", "").strip()
    try:
        block_type, schema = queries.type_and_schema(form.get("type", ""))
    except ObjectNotFound as error:
        return missing(request, "This block type", f"{error}. {_NO_TYPE}")
    fields = _fields(schema, None)
    values, errors = _read(schema, None, fields, form)
    if errors:
        return _form(request, block_type, None, with_texts(fields, form, errors), name=name)
    try:
        made = queries.create(block_type.slug, name, values)
    except (ParameterTypeError, ConfigurationError, BrokerConflict, ValueError) as error:
        return _form(request, block_type, None, with_texts(fields, form, {}), str(error), name)
    return done(request, f"{SCREEN}/show?id={made.id}", "create-block")


def _change(request: Request, form: Form, view: BlockView) -> Response:
    queries = queries_of(request).blocks
    block_type, schema = queries.type_and_schema(view.record.slug)
    fields = _fields(schema, view)
    values, errors = _read(schema, view, fields, form)
    if errors:
        return _form(request, block_type, view, with_texts(fields, form, errors))
    seen = form.get("generation", "")
    try:
        queries.change(view.record.id, values, generation=int(seen) if seen.isdecimal() and len(seen) < 12 else -1)
    except (ParameterTypeError, ConfigurationError, BrokerConflict) as error:
        return _form(request, block_type, view, with_texts(fields, form, {}), str(error))
    return done(request, f"{SCREEN}/show?id={view.record.id}", "change-block")


def _read(
    schema: BlockSchema, view: BlockView | None, fields: list[Field], form: Form
) -> tuple[dict[str, Any], dict[str, str]]:
    """What was sent, and what is wrong with it; of a secret not even what is wrong shows a part."""
    readable = [replace(field, kind="text") if field.is_secret else field for field in fields]
    sent = read_form(_carrier(schema, view), readable, form)
    secret = {field.name: field for field in fields if field.is_secret}
    hidden = {name: text if text == NEEDED else "This does not fit." for name, text in sent.errors.items()}
    errors = {name: hidden[name] if name in secret else text for name, text in sent.errors.items()}
    values = {name: value for name, value in sent.parameters.items() if name not in secret or value not in ("", None)}
    for name in values.keys() & {name for name, field in secret.items() if field.kind == "json"}:
        values[name] = value_of_text(values[name])
    return values, errors


ROUTES: Final = [
    Route("/blocks", screen(blocks_page)),
    Route("/blocks/show", screen(block_page)),
    Route("/blocks/new", screen(new_page, EDITOR), methods=["GET"]),
    Route("/blocks/edit", screen(edit_page, EDITOR), methods=["GET"]),
    Route("/blocks/delete", screen(delete_page, EDITOR), methods=["GET"]),
    Route("/blocks/{what}", action(act_on_block, EDITOR), methods=["POST"]),
]
