"""Runs: the list with its filter, what is done with many, and the page of one."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.server.answers import Done, RunFacts, RunQuery
from orchestrator.server.pages import filters
from orchestrator.server.pages.rendering import (
    STOP_POLLING,
    Form,
    action,
    asked_one,
    done,
    missing,
    queries_of,
    render,
    root_of,
    screen,
)
from orchestrator.server.queries import ENDED, Queries

ACTIONS: Final = {"retry": "Retry", "cancel": "Cancel", "delete": "Delete"}
_MEANING: Final = {
    "retry": "Runs that have ended are queued again, under their ids and with the arguments they had. "
    "Those that have not ended are left alone.",
    "cancel": "Runs that wait will not start, and those that run are asked to stop. "
    "Those that have ended are left alone.",
    "delete": "Records, results and logs of ended runs are deleted for good. Those that have not ended are left alone.",
}
MOST_LINES: Final = 500


def runs_page(request: Request) -> Response:
    """The list."""
    queries, given = queries_of(request), request.query_params
    names = queries.names()
    query = filters.query_of(given, names)
    page = queries.runs(query, before=asked_one(request, "before"))
    pairs = filters.fields_of(given)
    return render(
        request,
        "runs.html",
        screen="/runs",
        page=page,
        names=names,
        given=given,
        states=filters.STATES,
        spans=filters.SPANS,
        pairs=pairs,
        is_filtered=bool(pairs),
        unfielded=[pair for pair in pairs if pair[0] in ("flow_run_id", "parent", "run_id")],
        here=filters.address("/runs", pairs),
        older=filters.address("/runs", [*pairs, ("before", page.cursor)]) if page.cursor else None,
        is_first=asked_one(request, "before") is None,
    )


# -- many ---------------------------------------------------------------------------------------------------------


def confirm_page(request: Request) -> Response:
    """How many runs an action would concern, before it is done: those that are ticked, or all that match."""
    queries, given = queries_of(request), request.query_params
    what = given.get("all") or given.get("selected") or ""
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Go back to the runs, and choose one of the buttons there.")
    is_all = "all" in given
    query = filters.query_of(given, queries.names())
    if not is_all:
        query = RunQuery(ids=query.ids)
    nothing = not is_all and not query.ids
    page = queries.runs(query, limit=10) if not nothing else None
    pairs = filters.fields_of(given, without=("run_id",)) if is_all else [("run_id", run_id) for run_id in query.ids]
    return render(
        request,
        "confirm_runs.html",
        screen="/runs",
        what=what,
        verb=ACTIONS[what],
        meaning=_MEANING[what],
        page=page,
        is_all=is_all,
        everything=query.is_all,
        pairs=pairs,
        back=filters.address("/runs", filters.fields_of(given, without=("run_id",))),
    )


def act_on_many(request: Request, form: Form) -> Response:
    """What was confirmed."""
    queries, what = queries_of(request), form.get("what", "")
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Go back to the runs, and choose one of the buttons there.")
    query = filters.query_of(form, queries.names())
    if form.get("scope") == "all":
        came_to = _act(queries, what, query, form.get("as_of") or None)
        back = filters.address("/runs", filters.fields_of(form))
    else:
        came_to = _act(queries, what, list(query.ids), None)
        back = "/runs"
    return done(request, back, what, came_to.done, came_to.asked)


def _act(queries: Queries, what: str, meant: RunQuery | list[str], as_of: str | None) -> Done:
    if what == "cancel":
        return queries.cancel(meant, as_of)
    return queries.retry(meant, as_of) if what == "retry" else queries.delete(meant, as_of)


# -- one ----------------------------------------------------------------------------------------------------------


def run_page(request: Request) -> Response:
    """Everything about one run; while it goes on, the page follows."""
    run_id = request.path_params["run_id"]
    facts = queries_of(request).run(run_id)
    if facts is None:
        return missing(
            request,
            f"Run {run_id}",
            "There is no record of it: it has expired, was deleted, or belongs to another namespace or server.",
        )
    run = facts.detail.run
    has_ended = run.state_type in ENDED
    is_part = request.headers.get("hx-request") == "true"
    return render(
        request,
        "run.html",
        status=STOP_POLLING if is_part and has_ended else 200,
        screen="/runs",
        run=run,
        facts=facts,
        detail=facts.detail,
        has_ended=has_ended,
        lines=facts.logs[-MOST_LINES:],
        steps=steps_of(facts),
        bar=bar_of(facts.progress),
        children_link=filters.address(f"{root_of(request)}/runs", [("parent", run.id)]),
    )


def steps_of(facts: RunFacts) -> list[dict[str, Any]]:
    """The history with the time from each state to the next, in seconds."""
    history = facts.history
    following = [event.moment for event in history[1:]]
    return [
        {"event": event, "lasted": (after - event.moment).total_seconds() if after is not None else None}
        for event, after in zip(history, [*following, None], strict=True)
    ]


def bar_of(progress: dict[str, object] | None) -> dict[str, Any] | None:
    """How far a run has come: ``done`` and perhaps ``total`` as numbers, ``note``."""
    if not progress or not isinstance(progress.get("done"), int | float):
        return None
    total = progress.get("total")
    told: Any = progress["done"]
    is_known = isinstance(total, int | float) and total > 0
    return {"done": told, "total": total if is_known else None, "note": progress.get("note") or ""}


def act_on_one(request: Request, form: Form) -> Response:
    """Retry, cancel or delete this run."""
    run_id, what = request.path_params["run_id"], request.path_params["what"]
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the run's page.")
    came_to = _act(queries_of(request), what, [run_id], None)
    path = "/runs" if what == "delete" and came_to.done else f"/runs/{run_id}"
    return done(request, path, what, came_to.done, came_to.asked)


ROUTES: Final = [
    Route("/runs", screen(runs_page)),
    Route("/runs/confirm", screen(confirm_page)),
    Route("/runs/act", action(act_on_many), methods=["POST"]),
    Route("/runs/{run_id}", screen(run_page)),
    Route("/runs/{run_id}/{what}", action(act_on_one), methods=["POST"]),
]
