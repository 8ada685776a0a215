"""Flow runs that another program does, reported over the API; and what people call a run."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.people.roles import RUNNER, VIEWER
from orchestrator.server.api import responses
from orchestrator.server.api.definitions import Empty, Key, Name, Parameters, Tags
from orchestrator.server.api.endpoint import Call, Endpoint
from orchestrator.server.api.flow_runs import NO_RUN, TAG, existing
from orchestrator.server.api.requests import Model, WantedState
from orchestrator.states import StateType


class FlowRunReport(Model):
    """A run that another program does. Runs of deployments are made by `/deployments/{id}/create_flow_run`."""

    flow_id: Key
    name: Name | None = None
    parameters: Parameters | None = None
    state: WantedState | None = Field(default=None, description="PENDING unless given")
    tags: Tags | None = None
    parent_flow_run_id: Key | None = None
    parent_task_run_id: None = None
    deployment_id: None = None
    context: Empty | None = None
    labels: Empty | None = None
    empirical_policy: Parameters | None = Field(default=None, description="Without effect")
    job_variables: Empty | None = None
    work_pool_name: None = None
    work_queue_name: None = None
    idempotency_key: None = None
    flow_version: Key | None = Field(default=None, description="Without effect")


class FlowRunUpdate(Model):
    """What is to be changed; what is left out stays."""

    name: Name | None = None
    tags: Tags | None = None
    empirical_policy: Parameters | None = Field(default=None, description="Without effect")
    infrastructure_pid: Key | None = Field(default=None, description="Without effect")
    flow_version: Key | None = Field(default=None, description="Without effect")
    parameters: None = None
    job_variables: None = None


class OfFlowRun(BaseModel):
    """Of which flow run."""

    model_config = ConfigDict(extra="forbid")
    flow_run_id: Annotated[str, Field(min_length=1, max_length=512)]


class OfTaskRun(BaseModel):
    """Of which task run."""

    model_config = ConfigDict(extra="forbid")
    task_run_id: Annotated[str, Field(min_length=1, max_length=512)]


def _create(call: Call) -> responses.FlowRun:
    body, flow = call.body, call.queries.flows.get(call.body.flow_id)
    if flow is None:
        raise HTTPException(404, f"There is no flow with the id {body.flow_id}: POST /api/flows/ makes it")
    state = body.state or WantedState(type="PENDING")
    run_id = call.queries.reported_runs.create(
        flow.name,
        StateType(state.type),
        name=body.name,
        state_name=state.name,
        message=state.message,
        parameters=body.parameters,
        tags=body.tags or (),
        parent_flow_run_id=body.parent_flow_run_id,
    )
    return responses.flow_run_of(existing(call, run_id), flow.id)


def _change(call: Call) -> None:
    call.queries.reported_runs.describe(existing(call), call.body.name, call.body.tags)


def _flow_run_states(call: Call) -> list[responses.State]:
    """Those that its record has: when it was made, when it began, and how it stands."""
    run = existing(call, call.query.flow_run_id)
    details = responses.StateDetails(flow_run_id=run.id, task_run_id=None, scheduled_time=run.expected)
    earlier = [("SCHEDULED", "Scheduled", run.created), ("RUNNING", "Running", run.started)]
    if run.expected is None:
        del earlier[0]
    states = [
        responses.State(type=type_, name=name, message=None, timestamp=moment, state_details=details)
        for type_, name, moment in earlier
        if moment is not None and type_ != run.state_type
    ]
    return [*states, responses.flow_run_of(run, call.queries.flows.id_of(run.flow)).state]


def _task_run_states(call: Call) -> list[responses.State]:
    facts = call.queries.runs.get(call.query.task_run_id)
    if facts is None:
        raise HTTPException(404, "There is no record of such a task run (any more)")
    now = responses.task_run_of(facts.detail.run).state
    earlier = [
        responses.State(
            type=event.state_type,
            name=event.state_name,
            message=None,
            timestamp=event.moment,
            state_details=now.state_details,
        )
        for event in facts.history[:-1]
    ]
    return [*earlier, now]


_ONE: Final[dict[str, Any]] = {"missing": NO_RUN}
ENDPOINTS: Final = [
    Endpoint(
        "POST",
        "/flow_runs/",
        _create,
        responses.FlowRun,
        "Report a run that another program does; `set_state` says how it goes on",
        TAG,
        body=FlowRunReport,
        changes=True,
        missing="There is no such flow",
        status=(201,),
        needs=RUNNER,
        in_part=True,
    ),
    Endpoint(
        "PATCH",
        "/flow_runs/{id}",
        _change,
        None,
        "Give one another name or other tags",
        TAG,
        body=FlowRunUpdate,
        changes=True,
        conflict="Its process has yet to write its name",
        status=(204,),
        **_ONE,
        needs=RUNNER,
        in_part=True,
    ),
    Endpoint(
        "GET",
        "/flow_run_states/",
        _flow_run_states,
        list[responses.State],
        "The states that are known of one, oldest first",
        TAG,
        query=OfFlowRun,
        **_ONE,
        needs=VIEWER,
        in_part=True,
    ),
    Endpoint(
        "GET",
        "/task_run_states/",
        _task_run_states,
        list[responses.State],
        "The states that are known of one, oldest first",
        "Task runs",
        query=OfTaskRun,
        missing="There is no record of such a task run (any more)",
        needs=VIEWER,
        in_part=True,
    ),
]
