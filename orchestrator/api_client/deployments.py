"""Deployments, their schedules and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.api_client.sections import Sections, body_of
from orchestrator.client.schemas.actions import DeploymentUpdate
from orchestrator.client.schemas.objects import Deployment, FlowRun
from orchestrator.client.schemas.sorting import DeploymentSort
from orchestrator.states import State


async def read_deployments(
    api: Api,
    /,
    *,
    sort: DeploymentSort | None = None,
    limit: int | None = None,
    offset: int = 0,
    **filters: Unpack[Sections],
) -> list[Deployment]:
    """The deployments that match, what was written last first; at most 200 (50 unless ``limit`` says)."""
    body = body_of(filters, sort=sort, limit=limit, offset=offset)
    return await api.many(Deployment, Request("POST", "/deployments/filter", body))


async def read_deployment(api: Api, /, deployment_id: UUID | str) -> Deployment:
    """A deployment by its id. Raises ObjectNotFound."""
    return await api.one(
        Deployment,
        Request("GET", path_of("deployments", deployment_id)),
        missing=f"Deployment {str(deployment_id)!r} not found!",
    )


async def read_deployment_by_name(api: Api, /, name: str) -> Deployment:
    """A deployment by ``flow/deployment``. Raises ObjectNotFound; ValueError: that is no such name."""
    flow_name, slash, deployment_name = name.partition("/")
    if not (flow_name and slash and deployment_name):
        raise ValueError(f"{name!r} is no name of a deployment: give flow/deployment")
    return await api.one(
        Deployment,
        Request("GET", path_of("deployments", "name", flow_name, deployment_name)),
        missing=f"Deployment {name!r} not found!",
    )


async def count_deployments(api: Api, /, **filters: Unpack[Sections]) -> int:
    """How many deployments match (ours)."""
    return int(await api.value(Request("POST", "/deployments/count", body_of(filters))))


async def create_deployment(api: Api, /, flow_id: UUID | str, name: str, **fields: Any) -> UUID:
    """Create a deployment, or change the one of that name; returns its id.

    Args:
        api: whom to ask.
        flow_id: of its flow; see ``create_flow_from_name``.
        name: without the flow's.
        fields: as in the API's document: ``entrypoint``, ``schedules``, ``parameters``, ``tags``, ``work_pool_name``,
            ``concurrency_limit``, ...

    Raises:
        ObjectNotFound: there is no such flow or work pool. ApiError: a field is not valid.
    """
    body = {"flow_id": flow_id, "name": name, **given(**fields)}
    return (await api.one(Deployment, Request("POST", "/deployments/", body))).id


async def update_deployment(
    api: Api, /, deployment_id: UUID | str, deployment: DeploymentUpdate | Mapping[str, Any]
) -> None:
    """Change what is given. Raises ObjectNotFound; ApiError: a value does not fit."""
    changes = dict(deployment) if isinstance(deployment, Mapping) else deployment.model_dump(exclude_unset=True)
    await api.ask(Request("PATCH", path_of("deployments", deployment_id), changes))


async def delete_deployment(api: Api, /, deployment_id: UUID | str) -> None:
    """Forget it; its runs that wait are cancelled. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", path_of("deployments", deployment_id)))


async def pause_deployment(api: Api, /, deployment_id: UUID | str) -> None:
    """Leave its schedules alone until it is resumed. Raises ObjectNotFound."""
    await api.ask(Request("POST", path_of("deployments", deployment_id, "pause_deployment")))


async def resume_deployment(api: Api, /, deployment_id: UUID | str) -> None:
    """Have its schedules fire again, from their next ticks on. Raises ObjectNotFound."""
    await api.ask(Request("POST", path_of("deployments", deployment_id, "resume_deployment")))


async def set_deployment_paused_state(api: Api, /, deployment_id: UUID | str, paused: bool) -> None:
    """:func:`pause_deployment` or :func:`resume_deployment`."""
    await (pause_deployment if paused else resume_deployment)(api, deployment_id)


async def create_flow_run_from_deployment(
    api: Api,
    /,
    deployment_id: UUID | str,
    *,
    parameters: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    state: State[Any] | None = None,
    name: str | None = None,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    parent_task_run_id: UUID | str | None = None,
    job_variables: Mapping[str, Any] | None = None,
) -> FlowRun:
    """Make a run of a deployment.

    Args:
        api: whom to ask.
        deployment_id: of the deployment.
        parameters: over those of the deployment.
        context: accepted where it is empty, as Prefect's clients send it.
        state: ``Scheduled(scheduled_time=...)`` for a later moment; now unless given.
        name: of the run; made up unless given.
        tags: besides those of the deployment.
        idempotency_key: a second request with the same key gets the run of the first.
        parent_task_run_id: of the task run whose part it is.
        job_variables: over those of the deployment.

    Raises:
        ObjectNotFound: there is no such deployment. ApiError: the parameters do not fit the flow.
    """
    body = given(
        parameters=dict(parameters or {}),
        context=dict(context) if context else None,
        state=state,
        name=name,
        tags=list(tags) if tags is not None else None,
        idempotency_key=idempotency_key,
        parent_task_run_id=parent_task_run_id,
        job_variables=dict(job_variables) if job_variables is not None else None,
    )
    return await api.one(FlowRun, Request("POST", path_of("deployments", deployment_id, "create_flow_run"), body))


async def get_scheduled_flow_runs_for_deployments(
    api: Api,
    /,
    deployment_ids: Sequence[UUID | str],
    scheduled_before: datetime | None = None,
    limit: int | None = None,
) -> list[FlowRun]:
    """Runs that wait, and those that schedules will make, the next one first."""
    body = given(deployment_ids=list(deployment_ids), scheduled_before=scheduled_before, limit=limit)
    return await api.many(FlowRun, Request("POST", "/deployments/get_scheduled_flow_runs", body))
