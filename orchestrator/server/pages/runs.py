"""Runs: the list with its filter, what is done with many, and the page of one."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.people.roles import EDITOR, RUNNER
from orchestrator.server.access import queries_for
from orchestrator.server.pages import filters
from orchestrator.server.pages.rendering import (
    STOP_POLLING,
    Form,
    action,
    done,
    missing,
    queries_of,
    query_value,
    render,
    root_of,
    screen,
)
from orchestrator.server.queries import Queries
from orchestrator.server.queries.runs import ENDED
from orchestrator.server.view_models import Done, RunFacts, RunQuery

ROLES: Final = {"run-now": RUNNER, "cancel": RUNNER, "retry": RUNNER, "delete": EDITOR}
ACTIONS: Final = {"run-now": "Run now", "retry": "Retry", "cancel": "Cancel", "delete": "Delete"}
_MEANING: Final = {
    "run-now": "Runs that wait for a moment (a countdown, their next attempt) are queued at once. "
    "Others are left alone.",
    "retry": "Runs that have ended are queued again, under their ids and with the arguments they had. "
    "Those that have not ended are left alone.",
    "cancel": "Runs that wait will not start, and those that run are asked to stop. "
    "Those that have ended are left alone.",
    "delete": "Records, results and logs of ended runs are deleted for good. Those that have not ended are left alone.",
}
MAX_LINES: Final = 500


def runs_page(request: Request) -> Response:
    """The list."""
    queries, given = queries_of(request), request.query_params
    names = queries.runs.names()
    query = filters.query_of(given, names)
    page = queries.runs.find(query, before=query_value(request, "before"))
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
        is_filtered=any(name != "sort" for name, _ in pairs),
        set_filters=len({name for name, _ in pairs} - {"sort"}),
        is_longest_first=query.sort == "duration",
        other_order=filters.address(
            "/runs", [*filters.fields_of(given, without=("sort",)), *([] if query.sort else [("sort", "duration")])]
        ),
        unfielded=[pair for pair in pairs if pair[0] in ("flow_run_id", "parent", "run_id")],
        here=filters.address("/runs", pairs),
        older=filters.address("/runs", [*pairs, ("before", page.cursor)]) if page.cursor else None,
        is_first=query_value(request, "before") is None,
    )


# -- many ---------------------------------------------------------------------------------------------------------


def confirm_page(request: Request) -> Response:
    """How many runs an action would concern, before it is done: those that are ticked, or all that match."""
    given = request.query_params
    what = given.get("all") or given.get("selected") or ""
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Go back to the runs, and choose one of the buttons there.")
    is_all = "all" in given
    queries = _queries_to_do(request, what)
    query = filters.query_of(given, queries.runs.names())
    if not is_all:
        query = RunQuery(ids=query.ids)
    nothing = not is_all and not query.ids
    page = queries.runs.find(query, limit=10) if not nothing else None
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


def _queries_to_do(request: Request, what: str) -> Queries:
    """Queries for what this person may do that with: perhaps less than they see on the page.

    Raises:
        NotAllowed: it takes a higher role than the page, which they have nowhere.
    """
    return queries_for(request, ROLES[what], in_part=True)


def act_on_many(request: Request, form: Form) -> Response:
    """What was confirmed."""
    what = form.get("what", "")
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Go back to the runs, and choose one of the buttons there.")
    queries = _queries_to_do(request, what)
    query = filters.query_of(form, queries.runs.names())
    if form.get("scope") == "all":
        result = _act(queries, what, query, form.get("as_of") or None)
        back = filters.address("/runs", filters.fields_of(form))
    else:
        result = _act(queries, what, list(query.ids), None)
        back = "/runs"
    return done(request, back, what, result.done, result.requested)


def _act(queries: Queries, what: str, selected: RunQuery | list[str], as_of: str | None) -> Done:
    acts = {
        "run-now": queries.run_actions.run_now,
        "cancel": queries.run_actions.cancel,
        "retry": queries.run_actions.retry,
        "delete": queries.run_actions.delete,
    }
    return acts[what](selected, as_of)


# -- one ----------------------------------------------------------------------------------------------------------


def run_page(request: Request) -> Response:
    """Everything about one run; while it goes on, the page follows."""
    run_id = request.path_params["run_id"]
    facts = queries_of(request).runs.get(run_id)
    if facts is None:
        return missing(
            request,
            f"Run {run_id}",
            "There is no record of it: it has expired, was deleted, or belongs to another namespace or server.",
        )
    run = facts.detail.run
    has_ended = run.state_type in ENDED or run.state_name == "NotReady"
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
        lines=facts.logs[-MAX_LINES:],
        attempts=attempts_of(facts),
        steps=steps_of(facts),
        bar=bar_of(facts.progress),
        artifacts=queries_of(request).artifacts.of_run(run.id),
        children_link=filters.address(f"{root_of(request)}/runs", [("parent", run.id)]),
    )


_FAILED_ATTEMPT: Final = re.compile(r"attempt (\d+) of \d+ failed, again in [^:]*: .*?\n(Traceback .*|\S.*)", re.DOTALL)


class FailedAttempt(NamedTuple):
    """An attempt that failed, as far as it is kept."""

    number: str  # empty for the last one
    moment: datetime | None
    text: str  # traceback

    @property
    def last_line(self) -> str:
        """What happened."""
        return self.text.rpartition("\n")[2][:200]


def attempts_of(facts: RunFacts) -> list[FailedAttempt]:
    """The attempts that failed, oldest first: earlier ones from the log, the last from the
    outcome."""
    found = []
    for line in facts.logs:
        match = _FAILED_ATTEMPT.fullmatch(line.message) if line.level == "ERROR" else None
        if match is not None:
            found.append(FailedAttempt(match[1], line.timestamp, match[2].rstrip()))
    if facts.detail.error:
        found.append(FailedAttempt("", facts.detail.run.ended, facts.detail.error))
    return found


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
    completed: Any = progress["done"]
    is_known = isinstance(total, int | float) and total > 0
    return {"done": completed, "total": total if is_known else None, "note": progress.get("note") or ""}


def act_on_one(request: Request, form: Form) -> Response:
    """Retry, cancel or delete this run, or run it now."""
    run_id, what = request.path_params["run_id"], request.path_params["what"]
    if what not in ACTIONS:
        return missing(request, f"An action {what!r}", "Choose one of the buttons of the run's page.")
    result = _act(queries_of(request), what, [run_id], None)
    if form.get("back") == "/scheduled":
        return done(request, "/scheduled", what, result.done, result.requested)
    path = "/runs" if what == "delete" and result.done else f"/runs/{quote(run_id, safe='')}"
    return done(request, path, what, result.done, result.requested)


ROUTES: Final = [
    Route("/runs", screen(runs_page, in_part=True)),
    Route("/runs/confirm", screen(confirm_page, RUNNER, in_part=True)),
    Route("/runs/act", action(act_on_many, RUNNER, in_part=True), methods=["POST"]),
    Route("/runs/{run_id}", screen(run_page, in_part=True)),
    Route(
        "/runs/{run_id}/{what}",
        action(act_on_one, ROLES, in_part=True),
        methods=["POST"],
    ),
]
