"""Variables: listed, set, changed and deleted by forms that need no scripts."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brokers.errors import BrokerConflict
from orchestrator.people.roles import EDITOR
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.rendering import (
    Form,
    action,
    done,
    missing,
    queries_of,
    query_value,
    render,
    screen,
)
from orchestrator.variables import Variable

SCREEN: Final = "/variables"
_GONE: Final = "It was deleted. The variables page lists those that are set."
_SENT: Final = ("name", "value", "tags")


def variables_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """All, what was written last first; with what was wrong with the form of this page."""
    first = first_of(request, "variables")
    page = queries_of(request).variables.newest(first)
    return render(
        request,
        "variables.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        page=page,
        shown={one.id: json.dumps(one.value, ensure_ascii=False) for one in page.variables},
        wrong=wrong,
        texts=texts or {},
        **paging(SCREEN, first, page.total),
    )


def edit_page(request: Request) -> Response:
    """The form of one variable."""
    name = query_value(request, "name") or ""
    found = queries_of(request).variables.get(name)
    if found is None:
        return missing(request, f"Variable {name[:80]!r}", _GONE)
    return _edit(request, found, "", {"value": text_of_value(found.value), "tags": ", ".join(found.tags)})


def _edit(request: Request, found: Variable, wrong: str, texts: dict[str, str]) -> Response:
    return render(
        request,
        "variable.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        variable=found,
        wrong=wrong,
        texts=texts,
    )


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    name = query_value(request, "name") or ""
    if queries_of(request).variables.get(name) is None:
        return missing(request, f"Variable {name[:80]!r}", _GONE)
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete variable {name}",
        text="Code that reads it gets its default from then on, and runs whose parameters are filled in from it cannot "
        "be made.",
        to="/variables/delete",
        fields={"name": name},
        verb="Delete the variable",
        back=SCREEN,
    )


def act_on_variable(request: Request, form: Form) -> Response:
    """Set a new variable, change one, or delete it."""
    queries, what, name = queries_of(request).variables, request.path_params["what"], form.get("name", "").strip()
    queries_of(request).context.must_write()
    if what == "delete":
        if not queries.delete(name):
            return missing(request, f"Variable {name[:80]!r}", _GONE)
        return done(request, SCREEN, "delete-variable")
    if what not in ("set", "change"):
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the variables page.")
    texts = {key: form.get(key, "") for key in _SENT}
    value, tags = value_of_text(texts["value"]), [tag.strip() for tag in texts["tags"].split(",") if tag.strip()]
    if what == "change":
        return _change(request, name, form, texts, value, tags)
    try:
        queries.create(name, value, tags)
    except ValueError as error:
        return variables_page(request, _for_people(error), texts)
    return done(request, SCREEN, "set-variable")


def _change(request: Request, name: str, form: Form, texts: dict[str, str], value: Any, tags: list[str]) -> Response:
    queries = queries_of(request).variables
    found = queries.get(name)
    if found is None:
        return missing(request, f"Variable {name[:80]!r}", _GONE)
    seen = form.get("generation", "")
    try:
        if seen != str(found.generation):
            raise ValueError(
                f"Somebody else has changed it meanwhile; it is {text_of_value(found.value)[:200]} now. Save again to "
                "replace that."
            )
        queries.change(found, value, tags)
    except (ValueError, BrokerConflict) as error:
        return _edit(request, found, str(error), texts)
    return done(request, SCREEN, "change-variable")


def _for_people(error: ValueError) -> str:
    return str(error).replace("Use `overwrite=True` to update it.", "Edit it in the list.")


def value_of_text(text: str) -> Any:
    """What a text in the form means: JSON, or the text itself.

    >>> value_of_text("[1, 2]"), value_of_text("only Oslo")
    ([1, 2], 'only Oslo')
    """
    text = text.replace("\r\n", "\n")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def text_of_value(value: Any) -> str:
    """A value as a text that means it in the form.

    >>> text_of_value("only Oslo"), text_of_value("3"), text_of_value(3)
    ('only Oslo', '"3"', '3')
    """
    if isinstance(value, str) and value.isprintable() and value == value.strip() == value_of_text(value):
        return value
    return json.dumps(value, indent=2 if isinstance(value, list | dict) else None, ensure_ascii=False)


ROUTES: Final = [
    Route("/variables", screen(variables_page, in_part=True)),
    Route("/variables/edit", screen(edit_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/variables/delete", screen(delete_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/variables/{what}", action(act_on_variable, EDITOR, in_part=True), methods=["POST"]),
]
