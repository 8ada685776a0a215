"""Flows by name: those that were defined, have a deployment, or have run."""

from __future__ import annotations

from typing import Any, Final

from starlette.exceptions import HTTPException

from orchestrator.people.roles import EDITOR, RUNNER, VIEWER
from orchestrator.server.api import definition_responses as answers
from orchestrator.server.api import definitions, filters
from orchestrator.server.api.deployments import matching
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.definition_views import FlowView
from orchestrator.server.queries.runs import PAGE

NO_FLOW: Final = "There is no such flow"
TAG: Final = "Flows"


def _matching(call: Call) -> list[FlowView]:
    wanted = call.body.flows or filters.FlowFilter()
    by_deployment = call.body.deployments is not None or call.body.work_pools is not None
    call.exhausted = True
    deployed = {record.flow_name for record in matching(call, call.body)} if by_deployment else None
    has_any = wanted.deployment.is_null_ if wanted.deployment is not None else None
    return [
        flow
        for flow in call.queries.flows.all()
        if (wanted.id is None or wanted.id.fits(flow.id))
        and (wanted.name is None or wanted.name.fits(flow.name))
        and (deployed is None or flow.name in deployed)
        and (has_any is None or (not flow.deployment_ids) is has_any)
    ]


def _filter(call: Call) -> list[answers.Flow]:
    flows = _matching(call)
    name, _, way = (call.body.sort or "NAME_ASC").rpartition("_")
    if name in ("CREATED", "UPDATED"):
        flows.sort(key=lambda flow: flow.defined.timestamp() if flow.defined else 0.0, reverse=True)
    elif way == "DESC":
        flows.reverse()
    call.headers["X-Total-Count"] = str(len(flows))
    return [answers.flow_of(flow) for flow in flows[call.body.offset : call.body.offset + (call.body.limit or PAGE)]]


def _known(found: FlowView | None) -> answers.Flow:
    if found is None:
        raise HTTPException(404, NO_FLOW)
    return answers.flow_of(found)


def _delete(call: Call) -> None:
    flow = call.queries.flows.get(call.path["id"])
    if flow is None:
        raise HTTPException(404, NO_FLOW)
    call.queries.flows.delete(flow)


def _create(call: Call) -> answers.Flow:
    try:
        call.status = 201 if call.queries.flows.define(call.body.name) else 200
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return _known(call.queries.flows.named(call.body.name))


def _row(method: str, path: str, do: Any, gives: Any, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"/flows{path}", do, gives, summary, TAG, in_part=True, **more)


ENDPOINTS: Final = [
    _row(
        "POST",
        "/",
        _create,
        answers.Flow,
        "Have it be listed before it runs",
        body=definitions.FlowCreate,
        changes=True,
        missing=NO_FLOW,
        status=(201, 200),
        needs=RUNNER,
    ),
    _row(
        "POST", "/filter", _filter, list[answers.Flow], "Flows, by name", body=definitions.DefinitionsList, needs=VIEWER
    ),
    _row(
        "POST",
        "/count",
        lambda call: len(_matching(call)),
        int,
        "How many",
        body=definitions.DefinitionsQuery,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/name/{name}",
        lambda call: _known(call.queries.flows.named(call.path["name"])),
        answers.Flow,
        "One by its name",
        missing=NO_FLOW,
        needs=VIEWER,
    ),
    _row(
        "GET",
        "/{id}",
        lambda call: _known(call.queries.flows.get(call.path["id"])),
        answers.Flow,
        "One",
        missing=NO_FLOW,
        needs=VIEWER,
    ),
    _row(
        "DELETE",
        "/{id}",
        _delete,
        None,
        "Forget one that has no deployments; one that has run is listed while its runs are kept",
        missing=NO_FLOW,
        changes=True,
        conflict="It has deployments",
        status=(204,),
        needs=EDITOR,
    ),
]
