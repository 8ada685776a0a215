"""Flow runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.inspection.values import plain_value
from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server.api import definitions, filters, requests, responses
from orchestrator.server.api.deployments import matching
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.logs import AfterLine, log_of
from orchestrator.server.api.runs import set_count
from orchestrator.server.queries.flow_run_search import NEWEST, FlowRunSearch, count, found, names_of
from orchestrator.server.queries.runs import ENDED, PAGE
from orchestrator.server.view_models import FlowRunFacts, FlowRunPage, FlowRunView, LogEntry, TaskGroup, by_type
from orchestrator.states import StateType

NO_RUN: Final = "There is no record of such a flow run (any more)"
TAG: Final = "Flow runs"


def _search(call: Call) -> FlowRunSearch:
    """What the body means: as much of it as the index can decide, the rest by looking at each."""
    body = call.body
    wanted = body.flow_runs or filters.FlowRunFilter()
    narrow: dict[str, Any] = {}
    if body.flows is not None:
        narrow["flows"] = _flow_names(call, body.flows)
    if body.deployments is not None:
        narrow["deployment_ids"] = [record.id for record in matching(call, body)] or [""]
    elif wanted.deployment_id is not None and wanted.deployment_id.any_:
        narrow["deployment_ids"] = wanted.deployment_id.any_
    if wanted.id is not None and wanted.id.any_:
        narrow["ids"] = wanted.id.any_
    parent = wanted.parent_flow_run_id.any_ if wanted.parent_flow_run_id is not None else None
    if parent and len(parent) == 1:
        narrow["parent_flow_run_id"] = parent[0]
    types = wanted.state.type.any_ if wanted.state is not None and wanted.state.type is not None else None
    if types:
        narrow["states"] = types
    pools = body.work_pools.name if body.work_pools is not None else None
    decides = pools is not None or (body.flow_runs is not None and not _is_narrow(wanted, narrow))
    fits = (lambda run: wanted.fits(run) and (pools is None or pools.fits(run.work_pool or ""))) if decides else None
    return FlowRunSearch(narrow, fits, getattr(body, "sort", None) or NEWEST)


def _is_narrow(wanted: filters.FlowRunFilter, narrow: dict[str, Any]) -> bool:
    """Whether the index decides about all that is wanted."""
    given = wanted.model_dump(exclude_none=True)
    given.pop("operator", None)
    decided = {"id": "ids", "parent_flow_run_id": "parent_flow_run_id", "deployment_id": "deployment_ids"}
    for name, argument in decided.items():
        if argument in narrow and given.get(name, {}).keys() == {"any_"}:
            del given[name]
    if "states" in narrow and given.get("state") == {"type": {"any_": narrow["states"]}}:
        del given["state"]
    return not given


def _flow_names(call: Call, wanted: filters.FlowFilter) -> tuple[str, ...]:
    names, named = call.queries.index.names()["flows"], wanted.name or filters.NameFilter()
    if wanted.id is None and wanted.deployment is None and named.like_ is None:
        return tuple(named.any_ or ()) if named.any_ is None or named.any_ else ("\0",)
    flows = {flow.name: flow for flow in call.queries.flows.all()} if wanted.deployment is not None else {}
    has_any = wanted.deployment.is_null_ if wanted.deployment is not None else None

    def fits(name: str) -> bool:
        is_deployed = name in flows and bool(flows[name].deployment_ids)
        return (
            named.fits(name)
            and (wanted.id is None or wanted.id.fits(call.queries.flows.id_of(name)))
            and (has_any is None or is_deployed is not has_any)
        )

    return names_of(names, fits)


def _page(call: Call) -> list[responses.FlowRun]:
    page = _found(call, call.body.limit or PAGE, call.body.offset, call.body.before)
    if page.cursor is not None:
        call.headers["X-Next-Cursor"] = page.cursor
    return _answers(call, page)


def _found(call: Call, limit: int, offset: int, before: str | None = None) -> FlowRunPage:
    call.queries.index.catch_up()
    search = _search(call)
    page = found(call.queries.flow_runs, search, before, offset, limit)
    call.exhausted = page.cursor is None and "ids" not in search.narrow
    set_count(call, page.total)
    return page


def _answers(call: Call, page: FlowRunPage) -> list[responses.FlowRun]:
    return [responses.flow_run_of(run, call.queries.flows.id_of(run.flow)) for run in page.runs]


def _paginate(call: Call) -> responses.FlowRunPage:
    limit = call.body.limit or PAGE
    page = _found(call, limit, (call.body.page - 1) * limit)
    count = page.total.number
    return responses.FlowRunPage(
        results=_answers(call, page), count=count, limit=limit, pages=-(-count // limit), page=call.body.page
    )


def _count(call: Call) -> int:
    call.queries.index.catch_up()
    search = _search(call)
    total = count(call.queries.flow_runs, search)
    call.exhausted = "ids" not in search.narrow
    set_count(call, total)
    return total.number


def existing(call: Call, run_id: str | None = None) -> FlowRunView:
    """The flow run that is asked for. Raises HTTPException 404."""
    run = call.queries.flow_runs.view(run_id or call.path["id"])
    if run is None:
        raise HTTPException(404, NO_RUN)
    return run


def _delete(call: Call) -> None:
    run = existing(call)
    if run.state_type == "SCHEDULED" and call.queries.flow_runs.cancel(run.id):  # nobody has begun it
        run = existing(call)
    if run.state_type not in ENDED:
        raise HTTPException(409, f"flow run {run.id} is {run.state_name}: cancel it first")
    if not call.queries.flow_runs.delete(run.id):
        raise HTTPException(409, f"flow run {run.id} was not sent to a worker: its record expires by itself")


def _set_state(call: Call) -> responses.Orchestrated:
    run, wanted = existing(call), call.body.state
    if call.queries.reported_runs.is_reported(run.id):
        call.queries.reported_runs.set_state(run, StateType(wanted.type), wanted.name, wanted.message)
    else:
        _ask_for(call, run, wanted)
    now = call.queries.flow_runs.view(run.id) or run
    return responses.Orchestrated(state=responses.flow_run_of(now, call.queries.flows.id_of(now.flow)).state)


def _ask_for(call: Call, run: FlowRunView, wanted: requests.WantedState) -> None:
    """Have a run be cancelled, or run again, or now. Raises HTTPException 409: that makes no sense."""
    details = wanted.state_details if wanted.type in ("SCHEDULED", "PENDING") else None
    if details is not None and details.scheduled_time is not None and details.scheduled_time > datetime.now(UTC):
        raise HTTPException(409, "a run keeps its moment: cancel it, and make another one for the later moment")
    change = call.queries.flow_runs
    if wanted.type in ("CANCELLED", "CANCELLING"):
        done, why = change.cancel(run.id), "it has ended, or its process cannot be asked"
    elif wanted.type in ("SCHEDULED", "PENDING") and run.state_type in ENDED:
        done, why = change.retry(run.id), "it was not sent to a worker, or its parameters are not kept any more"
    elif wanted.type in ("SCHEDULED", "PENDING"):
        done, why = change.run_now(run.id), "it does not wait for a moment"
    elif wanted.type == "PAUSED":
        change.suspend(run.id)
        done, why = True, ""
    else:
        raise HTTPException(409, f"only workers set a run to {wanted.type}; ask for CANCELLED, or SCHEDULED to retry")
    if not done:
        raise HTTPException(409, f"flow run {run.id} is {run.state_name}: {why}")


def _resume(call: Call) -> responses.Orchestrated:
    run = existing(call)
    call.queries.flow_runs.resume(run.id, call.body.run_input)
    now = call.queries.flow_runs.view(run.id) or run
    return responses.Orchestrated(state=responses.flow_run_of(now, call.queries.flows.id_of(now.flow)).state)


def _facts(call: Call) -> FlowRunFacts:
    facts = call.queries.flow_runs.get(call.path["id"])
    if facts is None:
        raise HTTPException(404, NO_RUN)
    return facts


def _one(call: Call) -> responses.FlowRunDetail:
    facts = _facts(call)
    return responses.FlowRunDetail(
        **responses.flow_fields(facts.run, call.queries.flows.id_of(facts.run.flow)),
        parameters={name: plain_value(text) for name, text in facts.parameters or ()},
        result=facts.result,
        error=facts.error,
        tasks=[_group(group) for group in facts.groups],
        subflow_run_ids=[run.id for run in facts.subflows],
    )


def _group(group: TaskGroup) -> responses.TaskGroupOfFlow:
    return responses.TaskGroupOfFlow(
        task_key=group.task,
        count=group.count,
        state_counts=by_type(group.states),
        created=group.created,
        start_time=group.started,
        end_time=group.ended,
        first_task_run_ids=group.run_ids,
        after=list(group.after),
    )


def _timeline(call: Call) -> list[responses.TaskRun]:
    return [responses.task_run_of(run) for run in _facts(call).runs]


def _logs(call: Call) -> list[responses.Log]:
    lines: list[LogEntry] = _facts(call).logs
    return [log_of(line, None, call.path["id"]) for line in lines[call.query.after :]]


ENDPOINTS: Final = [
    Endpoint(
        "POST",
        "/flow_runs/filter",
        _page,
        list[responses.FlowRun],
        "Flow runs, newest first",
        TAG,
        body=definitions.FlowRunsPage,
        pages=True,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "POST",
        "/flow_runs/paginate",
        _paginate,
        responses.FlowRunPage,
        "A page of flow runs",
        TAG,
        body=definitions.FlowRunsPaginate,
        pages=True,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "POST",
        "/flow_runs/count",
        _count,
        int,
        "How many there are",
        TAG,
        body=definitions.FlowRunsQuery,
        pages=True,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "POST",
        "/flow_runs/{id}/set_state",
        _set_state,
        responses.Orchestrated,
        "Cancel one, run it again, or run it now; of a reported one: any state",
        TAG,
        body=requests.SetState,
        changes=True,
        missing=NO_RUN,
        conflict="That makes no sense for a run in this state",
        needs=RUNNER,
        in_part=True,
    ),
    Endpoint(
        "POST",
        "/flow_runs/{id}/resume",
        _resume,
        responses.Orchestrated,
        "Have a paused or suspended one go on, with what it waits for",
        TAG,
        body=requests.ResumeFlowRun,
        changes=True,
        missing=NO_RUN,
        conflict="It is not paused, or the input does not fit: it stays as it is",
        needs=RUNNER,
        in_part=True,
    ),
    Endpoint(
        "DELETE",
        "/flow_runs/{id}",
        _delete,
        None,
        "Delete one that has ended",
        TAG,
        changes=True,
        missing=NO_RUN,
        conflict="It has not ended",
        status=(204,),
        needs=EDITOR,
        in_part=True,
    ),
    Endpoint(
        "GET",
        "/flow_runs/{id}",
        _one,
        responses.FlowRunDetail,
        "One, with its tasks",
        TAG,
        missing=NO_RUN,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "GET",
        "/flow_runs/{id}/timeline",
        _timeline,
        list[responses.TaskRun],
        "Its first task runs, of each task at most 50, oldest first",
        TAG,
        missing=NO_RUN,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "GET",
        "/flow_runs/{id}/logs",
        _logs,
        list[responses.Log],
        "Its log lines",
        TAG,
        query=AfterLine,
        missing=NO_RUN,
        needs=VIEWER,
        in_part=True,
    ),
]
