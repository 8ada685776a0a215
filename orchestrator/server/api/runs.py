"""Task runs: lists, details, actions and logs."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.inspection import RunView
from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server.api import requests, responses, task_run_filters
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.logs import AfterLine, log_of
from orchestrator.server.queries.runs import ORDERS, PAGE, actions_for
from orchestrator.server.view_models import Count, Done, RunPage, RunQuery

NO_RUN: Final = "There is no record of such a task run (any more)"
TAG: Final = "Task runs"


def _page(call: Call) -> list[responses.TaskRun]:
    page = _found(call, call.body.limit or PAGE, call.body.offset, call.body.before)
    call.headers["X-As-Of"] = page.as_of
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return [responses.task_run_of(run) for run in page.runs]


def _found(call: Call, limit: int, offset: int, before: str | None = None) -> RunPage:
    query, runs = call.body.query(), call.queries.runs
    call.queries.index.catch_up()
    try:
        if call.body.sort in ORDERS:
            page = runs.sorted_page(query, call.body.sort, limit, offset)
        else:
            page = runs.find(query, before, limit, offset)
    except ValueError as error:  # the cursor of another sort order
        raise HTTPException(422, str(error)) from None
    call.exhausted = page.cursor is None and not query.ids
    set_count(call, page.total)
    return page


def _paginate(call: Call) -> responses.TaskRunPage:
    limit = call.body.limit or PAGE
    page = _found(call, limit, (call.body.page - 1) * limit)
    count = page.total.number
    return responses.TaskRunPage(
        results=[responses.task_run_of(run) for run in page.runs],
        count=count,
        limit=limit,
        pages=-(-count // limit),
        page=call.body.page,
    )


def set_count(call: Call, total: Count) -> None:
    """Say in headers how many there are."""
    call.headers["X-Total-Count"] = str(total.number)
    if total.more:
        call.headers["X-Total-Is-At-Least"] = "true"


def _count(call: Call) -> int:
    query = call.body.query()
    call.queries.index.catch_up()
    total = call.queries.runs.count(query)
    call.exhausted = not query.ids
    set_count(call, total)
    return total.number


def _one(call: Call) -> responses.TaskRunDetail:
    facts = call.queries.runs.get(call.path["id"])
    if facts is None:
        raise HTTPException(404, NO_RUN)
    return responses.task_run_detail_of(facts)


def _existing(call: Call) -> RunView:
    found = call.queries.runs.views([call.path["id"]])
    if not found:
        raise HTTPException(404, NO_RUN)
    return found[0]


def _delete(call: Call) -> responses.DoneAnswer:
    run = _existing(call)
    _require(run, "delete", "it has not ended: cancel it first")
    return _done(call.queries.run_actions.delete([run.id]))


def _require(run: RunView, action: str, why: str) -> None:
    if action not in actions_for(run):
        raise HTTPException(409, f"task run {run.id} is {run.state_name}: {why}")


def _set_state(call: Call) -> responses.Orchestrated:
    run, wanted = _existing(call), call.body.state.type
    if wanted in ("CANCELLED", "CANCELLING"):
        _require(run, "cancel", "it has ended, and is not cancelled any more")
        call.queries.run_actions.cancel([run.id])
    elif wanted in ("SCHEDULED", "PENDING") and "run-now" in actions_for(run):
        call.queries.run_actions.run_now([run.id])
    elif wanted in ("SCHEDULED", "PENDING"):
        _require(run, "retry", "it has not ended, and is not queued again")
        if not call.queries.run_actions.retry([run.id]).done:
            raise HTTPException(409, f"task run {run.id}: its arguments are not kept any more, submit it anew")
    else:
        raise HTTPException(409, f"only workers set a run to {wanted}; ask for CANCELLED, or for SCHEDULED to retry")
    now = next(iter(call.queries.runs.views([run.id])), run)
    return responses.Orchestrated(state=responses.task_run_of(now).state)


def _done(done: Done) -> responses.DoneAnswer:
    return responses.DoneAnswer(asked=done.requested, done=done.done)


def _bulk(call: Call) -> RunQuery | list[str]:
    if call.body.ids is not None:
        return list(call.body.ids)
    query: RunQuery = call.body.query()
    if query.is_all and not call.body.all:
        raise HTTPException(422, "this means every run: give ids or a filter, or say `all`")
    return query


def _bulk_cancel(call: Call) -> responses.DoneAnswer:
    return _done(call.queries.run_actions.cancel(_bulk(call), call.body.as_of))


def _bulk_retry(call: Call) -> responses.DoneAnswer:
    return _done(call.queries.run_actions.retry(_bulk(call), call.body.as_of))


def _bulk_delete(call: Call) -> responses.DoneAnswer:
    return _done(call.queries.run_actions.delete(_bulk(call), call.body.as_of))


def _logs(call: Call) -> list[responses.Log]:
    run = _existing(call)
    return [log_of(line, run.id, None) for line in call.queries.runs.logs(run.id, call.query.after)]


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/task_runs{path}", do, gives, summary, TAG, in_part=True, **more)


_BULK: Final[dict[str, Any]] = {"body": task_run_filters.Bulk, "changes": True}
ENDPOINTS: Final = [
    _row(
        "POST",
        "/filter",
        _page,
        list[responses.TaskRun],
        "Task runs, newest first",
        body=task_run_filters.TaskRunsPage,
        pages=True,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/paginate",
        _paginate,
        responses.TaskRunPage,
        "A page of task runs",
        body=task_run_filters.TaskRunsPaginate,
        pages=True,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/count",
        _count,
        int,
        "How many there are",
        body=task_run_filters.TaskRunsQuery,
        pages=True,
        needs=VIEWER,
    ),
    _row("POST", "/bulk_cancel", _bulk_cancel, responses.DoneAnswer, "Ask many to stop", **_BULK, needs=RUNNER),
    _row(
        "POST",
        "/bulk_retry",
        _bulk_retry,
        responses.DoneAnswer,
        "Queue many again that have ended",
        **_BULK,
        needs=RUNNER,
    ),
    _row(
        "POST",
        "/bulk_run_now",
        lambda call: _done(call.queries.run_actions.run_now(_bulk(call), call.body.as_of)),
        responses.DoneAnswer,
        "Queue many at once that wait for a moment",
        **_BULK,
        needs=RUNNER,
    ),
    _row(
        "POST", "/bulk_delete", _bulk_delete, responses.DoneAnswer, "Delete many that have ended", **_BULK, needs=EDITOR
    ),
    _row("GET", "/{id}", _one, responses.TaskRunDetail, "One, with everything around it", missing=NO_RUN, needs=VIEWER),
    _row(
        "DELETE",
        "/{id}",
        _delete,
        responses.DoneAnswer,
        "Delete one that has ended",
        missing=NO_RUN,
        changes=True,
        conflict="It has not ended",
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/{id}/set_state",
        _set_state,
        responses.Orchestrated,
        "Cancel one, retry it, or run it now",
        body=requests.SetState,
        changes=True,
        missing=NO_RUN,
        conflict="That makes no sense for a run in this state",
        needs=RUNNER,
    ),
    _row(
        "GET", "/{id}/logs", _logs, list[responses.Log], "Its log lines", query=AfterLine, missing=NO_RUN, needs=VIEWER
    ),
]
