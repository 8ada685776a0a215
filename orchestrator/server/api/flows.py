"""Flow runs."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException

from orchestrator.server.answers import FlowRunFacts, LogEntry, TaskGroup
from orchestrator.server.api import asked, told
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.runs import AfterLine, _log, _tell_count

NO_RUN: Final = "There is no record of such a flow run (any more)"
TAG: Final = "Flow runs"


def _page(call: Call) -> list[told.FlowRun]:
    page = call.queries.flow_runs(**call.body.arguments(), before=call.body.before, limit=call.body.limit)
    _tell_count(call, page.total)
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return [told.flow_run_of(run) for run in page.runs]


def _facts(call: Call) -> FlowRunFacts:
    facts = call.queries.flow_run(call.path["id"])
    if facts is None:
        raise HTTPException(404, NO_RUN)
    return facts


def _one(call: Call) -> told.FlowRunDetail:
    facts = _facts(call)
    return told.FlowRunDetail(
        **told.flow_fields(facts.run),
        tasks=[_group(group) for group in facts.groups],
        subflow_run_ids=[run.id for run in facts.subflows],
    )


def _group(group: TaskGroup) -> told.TaskGroupOfFlow:
    return told.TaskGroupOfFlow(
        task_key=group.task,
        count=group.count,
        state_counts=group.states,
        created=group.created,
        start_time=group.started,
        end_time=group.ended,
        first_task_run_ids=group.run_ids,
        after=list(group.after),
    )


def _timeline(call: Call) -> list[told.TaskRun]:
    return [told.task_run_of(run) for run in _facts(call).runs]


def _logs(call: Call) -> list[told.Log]:
    lines: list[LogEntry] = _facts(call).logs
    return [_log(line, None, call.path["id"]) for line in lines[call.query.after :]]


ENDPOINTS: Final = [
    Endpoint(
        "POST",
        "/flow_runs/filter",
        _page,
        list[told.FlowRun],
        "Flow runs, newest first",
        TAG,
        body=asked.FlowRunsPage,
        pages=True,
    ),
    Endpoint("GET", "/flow_runs/{id}", _one, told.FlowRunDetail, "One, with its tasks", TAG, missing=NO_RUN),
    Endpoint(
        "GET",
        "/flow_runs/{id}/timeline",
        _timeline,
        list[told.TaskRun],
        "Its first task runs, of each task at most 50, oldest first",
        TAG,
        missing=NO_RUN,
    ),
    Endpoint(
        "GET", "/flow_runs/{id}/logs", _logs, list[told.Log], "Its log lines", TAG, query=AfterLine, missing=NO_RUN
    ),
]
