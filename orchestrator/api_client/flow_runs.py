"""Flow runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.api_client.flows import create_flow
from orchestrator.api_client.sections import Sections, body_of
from orchestrator.client.schemas.objects import FlowRun, OrchestrationResult
from orchestrator.client.schemas.sorting import FlowRunSort
from orchestrator.client.schemas.states import state_from
from orchestrator.states import State


async def read_flow_runs(
    api: Api,
    /,
    *,
    sort: FlowRunSort | None = None,
    limit: int | None = None,
    offset: int = 0,
    **filters: Unpack[Sections],
) -> list[FlowRun]:
    """The flow runs that match, the newest first; at most 200 (50 unless ``limit`` says)."""
    body = body_of(filters, sort=sort, limit=limit, offset=offset)
    return await api.many(FlowRun, Request("POST", "/flow_runs/filter", body))


async def count_flow_runs(api: Api, /, **filters: Unpack[Sections]) -> int:
    """How many flow runs match."""
    return int(await api.value(Request("POST", "/flow_runs/count", body_of(filters))))


async def read_flow_run(api: Api, /, flow_run_id: UUID | str) -> FlowRun:
    """A flow run by its id. Raises ObjectNotFound."""
    return await api.one(
        FlowRun, Request("GET", path_of("flow_runs", flow_run_id)), missing=f"Flow run {str(flow_run_id)!r} not found!"
    )


async def set_flow_run_state(
    api: Api, /, flow_run_id: UUID | str, state: State[Any], force: bool = False
) -> OrchestrationResult:
    """Ask for a state: Cancelled or Cancelling cancels, Scheduled or Pending runs one that has ended again, and one at
    once that waits.

    Of a run that was made by :func:`create_flow_run` it may be any state that can follow.

    Raises:
        ObjectNotFound: there is no such run. ApiError: that makes no sense in its state, or only workers may do it.
    """
    body = {"state": state, "force": force}
    return await api.one(OrchestrationResult, Request("POST", path_of("flow_runs", flow_run_id, "set_state"), body))


async def resume_flow_run(
    api: Api, /, flow_run_id: UUID | str, run_input: Mapping[str, Any] | None = None
) -> OrchestrationResult:
    """Have a paused or suspended flow run go on.

    Args:
        api: whom to ask.
        flow_run_id: its id.
        run_input: what it waits for: the fields of its model, or ``{"value": ...}`` for another type.

    Raises:
        ObjectNotFound: there is no such run.
        ApiError: it is not paused, or the input does not fit (its text names the field); it stays as it is.
    """
    body = given(run_input=dict(run_input) if run_input is not None else None)
    request = Request("POST", path_of("flow_runs", flow_run_id, "resume"), body)
    return await api.one(OrchestrationResult, request, missing=f"Flow run {str(flow_run_id)!r} not found!")


async def update_flow_run(
    api: Api, /, flow_run_id: UUID | str, name: str | None = None, tags: Iterable[str] | None = None
) -> None:
    """Change the name or the tags of a flow run. Raises ObjectNotFound."""
    body = given(name=name, tags=list(tags) if tags is not None else None)
    await api.ask(Request("PATCH", path_of("flow_runs", flow_run_id), body))


async def set_flow_run_name(api: Api, /, flow_run_id: UUID | str, name: str) -> None:
    """Give a flow run another name. Raises ObjectNotFound."""
    await update_flow_run(api, flow_run_id, name=name)


async def delete_flow_run(api: Api, /, flow_run_id: UUID | str) -> None:
    """Delete one that has ended, with its log. Raises ObjectNotFound; ApiError: it has not ended."""
    await api.ask(Request("DELETE", path_of("flow_runs", flow_run_id)))


async def read_flow_run_states(api: Api, /, flow_run_id: UUID | str) -> list[State[Any]]:
    """The states that are known of a flow run, the oldest first. Raises ObjectNotFound."""
    request = Request("GET", "/flow_run_states/", query={"flow_run_id": str(flow_run_id)})
    return [state_from(each) for each in await api.value(request, missing=f"Flow run {str(flow_run_id)!r} not found!")]


async def create_flow_run(
    api: Api,
    /,
    flow: Any,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Iterable[str] | None = None,
    state: State[Any] | None = None,
) -> FlowRun:
    """Report a run that this program itself does, outside of flows; ``set_flow_run_state`` says how it goes on.

    Args:
        api: whom to ask.
        flow: a flow, or anything with a ``name``.
        name: of the run; made up unless given.
        parameters: what it was called with.
        tags: its tags.
        state: its first state; Pending unless given.

    Raises:
        ApiError: the parameters are not JSON, or the state cannot be one.
    """
    body = given(
        flow_id=await create_flow(api, flow),
        name=name,
        parameters=dict(parameters or {}),
        tags=list(tags) if tags is not None else None,
        state=state,
    )
    return await api.one(FlowRun, Request("POST", "/flow_runs/", body))
