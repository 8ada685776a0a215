"""Limits: how many places each has, who holds them, who waits; sizes are changed here."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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

SCREEN: Final = "/limits"
_GONE: Final = "It was deleted. The limits page lists those that are declared."


def limits_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """All, what was written last first; with what was wrong with a form of this page."""
    first = first_of(request, "limits")
    page = queries_of(request).limits.newest(first)
    return render(
        request,
        "limits.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        page=page,
        wrong=wrong,
        texts=texts or {},
        **paging(SCREEN, first, page.total),
    )


def delete_page(request: Request) -> Response:
    """What would be deleted, before it is done."""
    name = query_value(request, "name") or ""
    view = queries_of(request).limits.get(name) if name else None
    if view is None:
        return missing(request, f"Limit {name[:80]!r}", _GONE)
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete limit {view.about[:200]}",
        text=f"{view.limit.use.waiting:,} that wait under it go on. Blocks of code that name it are held up no longer, "
        "unless they are strict; tasks whose code names a size keep to that.",
        to="/limits/delete",
        fields={"name": name},
        verb="Delete the limit",
        back=SCREEN,
    )


def act_on_limit(request: Request, form: Form) -> Response:
    """Change the size of a limit, declare one, enable, disable or delete it."""
    queries, what, name = queries_of(request).limits, request.path_params["what"], form.get("name", "").strip()
    queries_of(request).context.must_write()
    if what == "delete":
        if not queries.delete(name):
            return missing(request, f"Limit {name[:80]!r}", _GONE)
        return done(request, SCREEN, "delete-limit")
    if what not in ("change", "enable", "disable"):
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the limits page.")
    fields: dict[str, Any] = {"active": True} if what == "enable" else {"active": False} if what == "disable" else {}
    try:
        if what == "change":
            fields = {"limit": _places(form.get("limit", "")), **_decay(form)}
        if form.get("new") != "1" and queries.get(name) is None:
            return missing(request, f"Limit {name[:80]!r}", _GONE)
        queries.declare(name, **fields, only_new=form.get("new") == "1")
    except ValueError as error:
        return limits_page(request, str(error), {key: form.get(key, "") for key in ("name", "limit", "decay")})
    return done(request, SCREEN, f"{what}-limit", fields.get("limit", 0))


def _places(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise ValueError(f"{text[:40]!r} is no number of places: write a whole number from 0 on")
    return int(text)


def _decay(form: Form) -> dict[str, float]:
    """What a form says of places that come back by themselves; nothing where it is left empty."""
    text = form.get("decay", "").strip()
    if not text:
        return {}
    if not re.fullmatch(r"[0-9]{0,9}\.?[0-9]{1,9}", text):
        raise ValueError(f"{text[:40]!r} is no number of places per second")
    return {"slot_decay_per_second": float(text)}


ROUTES: Final = [
    Route("/limits", screen(limits_page)),
    Route("/limits/delete", screen(delete_page, EDITOR), methods=["GET"]),
    Route("/limits/{what}", action(act_on_limit, EDITOR), methods=["POST"]),
]
