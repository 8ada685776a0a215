"""Automations: the list with its switches, and one with its firings and what came of them; forms need no scripts."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.automations.record import AutomationRecord
from orchestrator.errors import SerializationError
from orchestrator.people.roles import EDITOR
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.rendering import Form, action, done, missing, queries_of, render, screen

SCREEN: Final = "/automations"
_GONE: Final = "It was deleted. The automations page lists those that there are."


def automations_page(request: Request) -> Response:
    """All of them, by name."""
    found = queries_of(request).automations.all()
    return render(request, "automations.html", screen=SCREEN, automations=found, here=SCREEN)


def automation_page(request: Request) -> Response:
    """One of them: when it fires, what it does, and what came of its firings."""
    found = _found(request)
    if found is None:
        return missing(request, "This automation", _GONE)
    first = first_of(request, "firings")
    page, path = queries_of(request).automations.firings(found.id, first), f"{SCREEN}/{found.id}"
    return render(
        request,
        "automation.html",
        screen=SCREEN,
        automation=found,
        page=page,
        **paging(path, first, page.total),
    )


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    found = _found(request)
    if found is None:
        return missing(request, "This automation", _GONE)
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete automation {found.name}",
        text="Nothing is done for it any more; actions that are under way are done all the same.",
        to=f"{SCREEN}/{found.id}/delete",
        fields={},
        verb="Delete the automation",
        back=f"{SCREEN}/{found.id}",
    )


def act_on_automation(request: Request, form: Form) -> Response:
    """Enable, disable, test or delete one."""
    queries, what, found = queries_of(request).automations, request.path_params["what"], _found(request)
    queries_of(request).context.must_write()
    if found is None:
        return missing(request, "This automation", _GONE)
    back = SCREEN if form.get("back") == SCREEN else f"{SCREEN}/{found.id}"
    if what == "delete":
        queries.delete([found.id])
        return done(request, SCREEN, "delete-automation")
    if what in ("enable", "disable"):
        queries.switch(found.id, what == "enable")
        return done(request, back, f"{what}-automation")
    if what != "test":
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the automations page.")
    try:
        count = queries.fire(found)
    except SerializationError as error:
        raise ValueError(str(error)) from None
    return done(request, f"{SCREEN}/{found.id}", "test-automation", count)


def _found(request: Request) -> AutomationRecord | None:
    found = queries_of(request).automations.get(request.path_params["id"])
    return found if found is not None and found.id == request.path_params["id"] else None


ROUTES: Final = [
    Route("/automations", screen(automations_page)),
    Route("/automations/{id}", screen(automation_page), methods=["GET"]),
    Route("/automations/{id}/delete", screen(delete_page, EDITOR), methods=["GET"]),
    Route("/automations/{id}/{what}", action(act_on_automation, EDITOR), methods=["POST"]),
]
