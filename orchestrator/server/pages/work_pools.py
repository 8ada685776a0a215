"""Work pools: listed, made, and the page of one with its queues, workers, deployments and runs."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brokers.errors import BrokerConflict
from orchestrator.errors import ObjectNotFound
from orchestrator.people.roles import EDITOR
from orchestrator.server.definition_views import WorkPoolView
from orchestrator.server.pages.controls import confirm
from orchestrator.server.pages.list_pages import first_of, paging
from orchestrator.server.pages.rendering import (
    Form,
    action,
    done,
    missing,
    queries_of,
    render,
    screen,
)
from orchestrator.work_pools.base_templates import PROCESS, TYPES

SCREEN: Final = "/work-pools"
LAST_RUNS: Final = 10
MOST_MEMBERS: Final = 100
_GONE: Final = "It was deleted. The work pools page lists those that there are."
_SENT: Final = ("name", "type", "description", "limit", "priority")


def pools_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """All, what was written last first; with what was wrong with the form of this page."""
    first = first_of(request, "work pools")
    page = queries_of(request).work_pools.newest(first)
    return render(
        request,
        "work_pools.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        page=page,
        wrong=wrong,
        texts=texts or {},
        types=TYPES,
        **paging(SCREEN, first, page.total),
    )


def create_pool(request: Request, form: Form) -> Response:
    """Make a pool, of processes unless the form says otherwise."""
    queries, name = queries_of(request).work_pools, form.get("name", "").strip()
    queries_of(request).context.must_write()
    try:
        queries.create(name, form.get("type") or PROCESS, description=form.get("description", "").strip() or None)
    except (ValueError, BrokerConflict) as error:
        return pools_page(request, str(error), _texts(form))
    return done(request, address_of(name), "create-pool")


def address_of(name: str) -> str:
    """The page of a pool.

    >>> address_of("my pool/1")
    '/work-pools/my%20pool%2F1'
    """
    return f"{SCREEN}/{quote(name, safe='')}"


def pool_page(request: Request, wrong: str = "", texts: dict[str, str] | None = None) -> Response:
    """One, with what was wrong with a form of this page."""
    view = _view(request)
    if view is None:
        return _missing(request)
    queries = queries_of(request)
    members = queries.work_pools.members(view.pool.name)
    ids = [record.id for record in members[:MOST_MEMBERS]]
    return render(
        request,
        "work_pool.html",
        status=422 if wrong else 200,
        screen=SCREEN,
        view=view,
        pool=view.pool,
        path=address_of(view.pool.name),
        here=address_of(view.pool.name),
        members=members[:MOST_MEMBERS],
        further=max(0, len(members) - MOST_MEMBERS),
        runs=queries.flow_runs.find(deployment_ids=ids, limit=LAST_RUNS).runs if ids else [],
        wrong=wrong,
        texts=texts or {},
    )


def _view(request: Request) -> WorkPoolView | None:
    return queries_of(request).work_pools.get(request.path_params["pool"])


def _missing(request: Request) -> Response:
    return missing(request, f"Work pool {request.path_params['pool'][:80]!r}", _GONE)


def _texts(form: Form) -> dict[str, str]:
    return {name: form.get(name, "") for name in _SENT}


def delete_page(request: Request) -> Response:
    """What deleting it would mean, before it is done."""
    view = _view(request)
    if view is None:
        return _missing(request)
    members = len(queries_of(request).work_pools.members(view.pool.name))
    return confirm(
        request,
        screen=SCREEN,
        heading=f"Delete work pool {view.pool.name[:200]}",
        text=f"{members:,} deployments name it, and {view.waiting:,} runs wait in it: they wait for a pool of the same "
        "name. Its limits are forgotten, its workers go on until they are stopped.",
        to=f"{address_of(view.pool.name)}/delete",
        fields={},
        verb="Delete the work pool",
        back=address_of(view.pool.name),
    )


def act_on_pool(request: Request, form: Form) -> Response:
    """Pause, resume, limit or delete a pool, or add a queue to it."""
    view, what = _view(request), request.path_params["what"]
    if view is None:
        return _missing(request)
    queries, name = queries_of(request).work_pools, view.pool.name
    queries_of(request).context.must_write()
    try:
        match what:
            case "delete":
                queries.delete(name)
                return done(request, SCREEN, "delete-pool")
            case "pause" | "resume":
                queries.change(name, {"paused": what == "pause"})
            case "limit":
                queries.change(name, {"limit": places(form.get("limit", ""))})
            case "add-queue":
                queue, priority = form.get("name", "").strip(), _number(form.get("priority", ""), "priority")
                queries.create_queue(name, queue, priority=priority, limit=places(form.get("limit", "")))
            case _:
                return missing(request, f"An action {what!r}", "Choose one of the buttons of the page.")
    except (ValueError, BrokerConflict) as error:
        return pool_page(request, str(error), _texts(form))
    back = SCREEN if form.get("back") == SCREEN else address_of(name)
    return done(request, back, f"{what}-pool")


def act_on_queue(request: Request, form: Form) -> Response:
    """Pause, resume, limit, reorder or delete a queue of a pool."""
    view, what = _view(request), request.path_params["what"]
    if view is None:
        return _missing(request)
    queries, pool, name = queries_of(request).work_pools, view.pool.name, request.path_params["queue"]
    queries_of(request).context.must_write()
    changes: dict[str, Any]
    try:
        match what:
            case "delete":
                queries.delete_queue(pool, name)
                return done(request, address_of(pool), "delete-work-queue")
            case "pause" | "resume":
                changes = {"paused": what == "pause"}
            case "limit":
                changes = {"limit": places(form.get("limit", ""))}
            case "priority":
                changes = {"priority": _number(form.get("priority", ""), "priority") or 1}
            case _:
                return missing(request, f"An action {what!r}", "Choose one of the buttons of the page.")
        queries.change_queue(pool, name, changes)
    except ObjectNotFound as error:
        return missing(request, f"Work queue {name[:80]!r}", str(error))
    except (ValueError, BrokerConflict) as error:
        return pool_page(request, str(error))
    return done(request, address_of(pool), f"{what}-work-queue")


def places(text: str) -> int | None:
    """How many runs at once a form says; empty: not limited.

    >>> places(" 3 "), places("")
    (3, None)
    """
    return _number(text, "runs at once")


def _number(text: str, what: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(f"{text[:40]!r} is no number of {what}: write a whole number, or nothing")
    return int(text)


ROUTES: Final = [
    Route("/work-pools", screen(pools_page, in_part=True), methods=["GET"]),
    Route("/work-pools", action(create_pool, EDITOR, in_part=True), methods=["POST"]),
    Route("/work-pools/{pool}", screen(pool_page, in_part=True), methods=["GET"]),
    Route("/work-pools/{pool}/delete", screen(delete_page, EDITOR, in_part=True), methods=["GET"]),
    Route("/work-pools/{pool}/{what}", action(act_on_pool, EDITOR, in_part=True), methods=["POST"]),
    Route("/work-pools/{pool}/queues/{queue}/{what}", action(act_on_queue, EDITOR, in_part=True), methods=["POST"]),
]
