"""Task runs: lists, one, what is done to them, and their logs."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.inspection import RunView
from orchestrator.server.answers import Count, Done, LogEntry, RunQuery
from orchestrator.server.api import asked, told
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.queries import actions_for

NO_RUN: Final = "There is no record of such a task run (any more)"
TAG: Final = "Task runs"
_LEVELS: Final = logging.getLevelNamesMapping()


def _page(call: Call) -> list[told.TaskRun]:
    query = call.body.query()
    page = call.queries.runs(query, call.body.before, call.body.limit)
    _tell_count(call, page.total)
    call.headers["X-As-Of"] = page.as_of
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return [told.task_run_of(run) for run in page.runs]


def _tell_count(call: Call, total: Count) -> None:
    call.headers["X-Total-Count"] = str(total.number)
    if total.more:
        call.headers["X-Total-Is-At-Least"] = "true"


def _count(call: Call) -> int:
    total = call.queries.count(call.body.query())
    _tell_count(call, total)
    return total.number


def _one(call: Call) -> told.TaskRunDetail:
    facts = call.queries.run(call.path["id"])
    if facts is None:
        raise HTTPException(404, NO_RUN)
    return told.task_run_detail_of(facts)


def _existing(call: Call) -> RunView:
    found = call.queries.views([call.path["id"]])
    if not found:
        raise HTTPException(404, NO_RUN)
    return found[0]


def _delete(call: Call) -> told.DoneAnswer:
    run = _existing(call)
    _require(run, "delete", "it has not ended: cancel it first")
    return _done(call.queries.delete([run.id]))


def _require(run: RunView, action: str, why: str) -> None:
    if action not in actions_for(run):
        raise HTTPException(409, f"task run {run.id} is {run.state_name}: {why}")


def _set_state(call: Call) -> told.Orchestrated:
    run, wanted = _existing(call), call.body.state.type
    if wanted in ("CANCELLED", "CANCELLING"):
        _require(run, "cancel", "it has ended, and is not cancelled any more")
        call.queries.cancel([run.id])
    elif wanted in ("SCHEDULED", "PENDING"):
        _require(run, "retry", "it has not ended, and is not queued again")
        if not call.queries.retry([run.id]).done:
            raise HTTPException(409, f"task run {run.id}: its arguments are not kept any more, submit it anew")
    else:
        raise HTTPException(409, f"only workers set a run to {wanted}; ask for CANCELLED, or for SCHEDULED to retry")
    now = next(iter(call.queries.views([run.id])), run)
    return told.Orchestrated(status="ACCEPT", state=told.task_run_of(now).state)


def _done(done: Done) -> told.DoneAnswer:
    return told.DoneAnswer(asked=done.asked, done=done.done)


def _bulk(call: Call) -> RunQuery | list[str]:
    if call.body.ids is not None:
        return list(call.body.ids)
    query: RunQuery = call.body.query()
    if query.is_all and not call.body.all:
        raise HTTPException(422, "this means every run: give ids or a filter, or say `all`")
    return query


def _bulk_cancel(call: Call) -> told.DoneAnswer:
    return _done(call.queries.cancel(_bulk(call), call.body.as_of))


def _bulk_retry(call: Call) -> told.DoneAnswer:
    return _done(call.queries.retry(_bulk(call), call.body.as_of))


def _bulk_delete(call: Call) -> told.DoneAnswer:
    return _done(call.queries.delete(_bulk(call), call.body.as_of))


# -- logs ------------------------------------------------------------------------------------------------------------


class AfterLine(BaseModel):
    """From which line on."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=1_000_000, description="So many lines are left out")] = 0


def _logs(call: Call) -> list[told.Log]:
    run = _existing(call)
    return [_log(line, run.id, None) for line in call.queries.logs(run.id, call.query.after)]


def _log(line: LogEntry, task_run_id: str | None, flow_run_id: str | None) -> told.Log:
    return told.Log(
        timestamp=line.timestamp,
        level=_LEVELS.get(line.level.upper(), 0),
        level_name=line.level,
        message=line.message,
        task_run_id=task_run_id,
        flow_run_id=flow_run_id,
    )


def _filter_logs(call: Call) -> list[told.Log]:
    given: asked.LogFilter = call.body.logs
    tasks = (given.task_run_id.any_ if given.task_run_id else None) or []
    flows = (given.flow_run_id.any_ if given.flow_run_id else None) or []
    if not tasks and not flows:
        raise HTTPException(422, "name the runs: `task_run_id` or `flow_run_id`")
    lines = [_log(line, run_id, None) for run_id in tasks for line in call.queries.logs(run_id)]
    lines += [_log(line, None, run_id) for run_id in flows for line in call.queries.logs(run_id)]
    wanted = sorted((line for line in lines if _is_wanted(line, given)), key=lambda line: line.timestamp)
    if call.body.sort == "TIMESTAMP_DESC":
        wanted.reverse()
    return wanted[call.body.offset : call.body.offset + call.body.limit]


def _is_wanted(line: told.Log, given: asked.LogFilter) -> bool:
    level, time = given.level or asked.Level(), given.timestamp or asked.TimeFilter()
    return (
        (level.ge_ is None or line.level >= level.ge_)
        and (level.le_ is None or line.level <= level.le_)
        and (time.after_ is None or line.timestamp >= time.after_)
        and (time.before_ is None or line.timestamp <= time.before_)
    )


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/task_runs{path}", do, gives, summary, TAG, **more)


_BULK: Final[dict[str, Any]] = {"body": asked.Bulk, "changes": True}
ENDPOINTS: Final = [
    _row("POST", "/filter", _page, list[told.TaskRun], "Task runs, newest first", body=asked.TaskRunsPage, pages=True),
    _row("POST", "/count", _count, int, "How many there are", body=asked.TaskRunsQuery, pages=True),
    _row("POST", "/bulk_cancel", _bulk_cancel, told.DoneAnswer, "Ask many to stop", **_BULK),
    _row("POST", "/bulk_retry", _bulk_retry, told.DoneAnswer, "Queue many again that have ended", **_BULK),
    _row("POST", "/bulk_delete", _bulk_delete, told.DoneAnswer, "Delete many that have ended", **_BULK),
    _row("GET", "/{id}", _one, told.TaskRunDetail, "One, with everything around it", missing=NO_RUN),
    _row(
        "DELETE",
        "/{id}",
        _delete,
        told.DoneAnswer,
        "Delete one that has ended",
        missing=NO_RUN,
        changes=True,
        conflict="It has not ended",
    ),
    _row(
        "POST",
        "/{id}/set_state",
        _set_state,
        told.Orchestrated,
        "Cancel or retry one",
        body=asked.SetState,
        changes=True,
        missing=NO_RUN,
        conflict="That makes no sense for a run in this state",
    ),
    _row("GET", "/{id}/logs", _logs, list[told.Log], "Its log lines", query=AfterLine, missing=NO_RUN),
    Endpoint("POST", "/logs/filter", _filter_logs, list[told.Log], "Log lines of runs", "Logs", body=asked.LogsPage),
]
