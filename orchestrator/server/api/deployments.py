"""Deployments: written, listed, run, paused, rolled back; their schedules are in ``schedules``."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.deployments.record import DeploymentRecord
from orchestrator.errors import OrchestratorError
from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server.api import definition_responses as answers
from orchestrator.server.api import definitions, filters
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.responses import FlowRun, flow_run_of
from orchestrator.server.definition_views import DeploymentView
from orchestrator.server.queries.runs import PAGE

NO_DEPLOYMENT: Final = "There is no such deployment"
TAG: Final = "Deployments"


def existing(call: Call, name: str | None = None, **more: Any) -> DeploymentView:
    """The deployment that is asked for. Raises HTTPException 404."""
    found = call.queries.deployments.get(name or call.path["id"], **more)
    if found is None:
        raise HTTPException(404, NO_DEPLOYMENT)
    return found


def answer(call: Call, view: DeploymentView) -> answers.Deployment:
    """It, as the API shows it."""
    context, flow_id = call.queries.context, call.queries.flows.id_of(view.record.flow_name)
    return answers.deployment_of(view, flow_id, context.redaction, to_editor=context.may(EDITOR, view.record))


def matching(call: Call, of: Any) -> list[DeploymentRecord]:
    """The deployments that fit the filters of deployments, flows and work pools."""
    wanted, flows = of.deployments or filters.DeploymentFilter(), of.flows or filters.FlowFilter()
    pools = (of.work_pools.name if of.work_pools is not None else None) or filters.NameFilter()
    if flows.deployment is not None and flows.deployment.is_null_:
        return []
    return [
        record
        for record in call.queries.deployments.all()
        if wanted.fits(record)
        and (flows.name is None or flows.name.fits(record.flow_name))
        and (flows.id is None or flows.id.fits(call.queries.flows.id_of(record.flow_name)))
        and pools.fits(record.work_pool_name or "")
    ]


def _sorted(records: list[DeploymentRecord], sort: str | None) -> list[DeploymentRecord]:
    name, _, way = (sort or "UPDATED_DESC").rpartition("_")
    if name == "NAME":
        return sorted(records, key=lambda record: (record.name, record.flow_name), reverse=way == "DESC")
    if name == "CREATED":
        return sorted(records, key=lambda record: record.created_at, reverse=True)
    if name == "CONCURRENCY_LIMIT":
        return sorted(records, key=lambda record: _size(record), reverse=way == "DESC")
    return records  # as the store lists them


def _size(record: DeploymentRecord) -> float:
    size = (record.concurrency_limit or {}).get("limit")
    return size if isinstance(size, int) else float("inf")


def _filter(call: Call) -> list[answers.Deployment]:
    records = _sorted(matching(call, call.body), call.body.sort)
    call.headers["X-Total-Count"] = str(len(records))
    some = records[call.body.offset : call.body.offset + (call.body.limit or PAGE)]
    return [answer(call, view) for view in call.queries.deployments.views(some)]


def _paginate(call: Call) -> answers.DeploymentPage:
    records, limit = _sorted(matching(call, call.body), call.body.sort), call.body.limit or PAGE
    some = records[(call.body.page - 1) * limit : call.body.page * limit]
    return answers.DeploymentPage(
        results=[answer(call, view) for view in call.queries.deployments.views(some)],
        count=len(records),
        limit=limit,
        pages=-(-len(records) // limit),
        page=call.body.page,
    )


def _create(call: Call) -> answers.Deployment:
    flow = call.queries.flows.get(call.body.flow_id)
    if flow is None:
        raise HTTPException(404, f"There is no flow with the id {call.body.flow_id}: POST /api/flows/ makes it")
    try:
        record, is_new = call.queries.deployments.define(flow.name, call.body.name, call.body.changes())
    except ValueError as error:
        raise _refused(error) from None
    if call.body.schedules is not None:
        call.queries.deployments.set_schedules(record, [schedule.value() for schedule in call.body.schedules])
    call.status = 201 if is_new else 200
    return answer(call, existing(call, record.id))


def _change(call: Call) -> None:
    existing(call, last_runs=0)
    try:
        record = call.queries.deployments.change(call.path["id"], call.body.changes())
    except ValueError as error:
        raise _refused(error) from None
    if call.body.schedules is not None:
        call.queries.deployments.set_schedules(record, [schedule.value() for schedule in call.body.schedules])


def _refused(error: ValueError) -> Exception:
    """A name or value that is none: 422; what the rest of the house raises has its own status."""
    return error if isinstance(error, OrchestratorError) else HTTPException(422, str(error))


def _start(call: Call, given: definitions.FlowRunCreate) -> str:
    return call.queries.deployments.start_run(
        call.path["id"],
        given.parameters or {},
        version=given.version,
        scheduled_time=given.scheduled_time(),
        wishes=given.wishes(),
        enforce=given.enforce_parameter_schema,
    )


def _create_flow_run(call: Call) -> FlowRun:
    existing(call, last_runs=0)
    run = call.queries.flow_runs.view(_start(call, call.body))
    if run is None:
        raise HTTPException(409, "the run has been deleted meanwhile")
    return flow_run_of(run, call.queries.flows.id_of(run.flow))


def _create_flow_runs(call: Call) -> answers.BulkRuns:
    existing(call, last_runs=0)
    results = []
    for given in call.body.root:
        try:
            made, error = _start(call, given), None
        except (OrchestratorError, LookupError) as refused:
            made, error = None, str(refused)
        results.append(answers.BulkRun(status="CREATED" if made else "FAILED", flow_run_id=made, error=error))
    return answers.BulkRuns(results=results)


def _scheduled(call: Call) -> list[FlowRun]:
    """Runs that wait, and ticks to come, the next one first."""
    queries, limit = call.queries, call.body.limit or PAGE
    ids, before = call.body.deployment_ids, call.body.scheduled_before
    if not ids:
        return []
    queries.index.catch_up()
    waiting = queries.flow_runs.find(["SCHEDULED"], deployment_ids=ids, limit=200).runs
    found = {run.id: run for run in [*queries.deployments.upcoming(ids, limit), *waiting]}
    runs = sorted(found.values(), key=lambda run: run.expected or run.created)  # type: ignore[arg-type, return-value]
    runs = [run for run in runs if before is None or (run.expected is not None and run.expected <= before)]
    return [flow_run_of(run, queries.flows.id_of(run.flow)) for run in runs[:limit]]


def _versions(call: Call) -> list[answers.DeploymentVersion]:
    return [answers.version_of(view) for view in call.queries.deployments.versions(existing(call, last_runs=0).id)]


def _roll_back(call: Call) -> answers.Deployment:
    view = existing(call, last_runs=0)
    call.queries.deployments.roll_back(view.id, call.body.to)
    return answer(call, existing(call))


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/deployments{path}", do, gives, summary, TAG, in_part=True, **more)


_ONE: Final[dict[str, Any]] = {"missing": NO_DEPLOYMENT}
_CHANGES: Final[dict[str, Any]] = {**_ONE, "changes": True, "status": (204,)}
_CONFLICT: Final = "It does not fit the flow's parameters or the deployment's state"
ENDPOINTS: Final = [
    _row(
        "POST",
        "/",
        _create,
        answers.Deployment,
        "Create one, or change it by what is given",
        body=definitions.DeploymentCreate,
        changes=True,
        missing="There is no such flow or work pool",
        conflict=_CONFLICT,
        status=(201, 200),
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/filter",
        _filter,
        list[answers.Deployment],
        "Deployments",
        body=definitions.DefinitionsList,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/paginate",
        _paginate,
        answers.DeploymentPage,
        "A page",
        body=definitions.DefinitionsPaginate,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/count",
        lambda call: len(matching(call, call.body)),
        int,
        "How many there are",
        body=definitions.DefinitionsQuery,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/get_scheduled_flow_runs",
        _scheduled,
        list[FlowRun],
        "Runs that wait and runs to come; these have no record yet, and the ids that they will have",
        body=definitions.ScheduledRuns,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/name/{flow_name}/{deployment_name}",
        lambda call: answer(call, existing(call, f"{call.path['flow_name']}/{call.path['deployment_name']}")),
        answers.Deployment,
        "One by its name",
        **_ONE,
        needs=VIEWER,
    ),
    _row("GET", "/{id}", lambda call: answer(call, existing(call)), answers.Deployment, "One", **_ONE, needs=VIEWER),
    _row(
        "PATCH",
        "/{id}",
        _change,
        None,
        "Change what is given",
        body=definitions.DeploymentUpdate,
        conflict=_CONFLICT,
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "DELETE",
        "/{id}",
        lambda call: call.queries.deployments.delete(existing(call, last_runs=0).id),
        None,
        "Forget it; its runs that wait are cancelled",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/{id}/create_flow_run",
        _create_flow_run,
        FlowRun,
        "Make a run",
        body=definitions.FlowRunCreate,
        conflict=_CONFLICT,
        **{**_CHANGES, "status": (201,)},
        needs=RUNNER,
    ),
    _row(
        "POST",
        "/{id}/create_flow_run/bulk",
        _create_flow_runs,
        answers.BulkRuns,
        "Make some runs",
        body=definitions.FlowRunCreates,
        changes=True,
        **_ONE,
        needs=RUNNER,
    ),
    _row(
        "POST",
        "/{id}/pause_deployment",
        lambda call: call.queries.deployments.pause(existing(call, last_runs=0).id),
        None,
        "Leave its schedules alone",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "POST",
        "/{id}/resume_deployment",
        lambda call: call.queries.deployments.resume(existing(call, last_runs=0).id),
        None,
        "Have its schedules fire again",
        conflict="A schedule cannot be read here",
        **_CHANGES,
        needs=EDITOR,
    ),
    _row(
        "GET",
        "/{id}/versions",
        _versions,
        list[answers.DeploymentVersion],
        "Its versions, newest first",
        **_ONE,
        needs=VIEWER,
    ),
    _row(
        "POST",
        "/{id}/rollback",
        _roll_back,
        answers.Deployment,
        "Make an earlier version the one that runs",
        body=definitions.RollBack,
        changes=True,
        conflict="The version's code is gone",
        **_ONE,
        needs=EDITOR,
    ),
]
