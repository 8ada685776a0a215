"""Schedules of deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.client.schemas.actions import DeploymentScheduleCreate
from orchestrator.client.schemas.objects import DeploymentSchedule
from orchestrator.client.schemas.schedules import SCHEDULE_TYPES


async def read_deployment_schedules(api: Api, /, deployment_id: UUID | str) -> list[DeploymentSchedule]:
    """The schedules of a deployment. Raises ObjectNotFound."""
    return await api.many(DeploymentSchedule, Request("GET", path_of("deployments", deployment_id, "schedules")))


async def create_deployment_schedules(
    api: Api,
    /,
    deployment_id: UUID | str,
    schedules: Sequence[DeploymentScheduleCreate | tuple[SCHEDULE_TYPES, bool]],
    parameters: Mapping[str, Any] | None = None,
    slug: str | None = None,
) -> list[DeploymentSchedule]:
    """Give a deployment more schedules: ``DeploymentScheduleCreate``, or pairs of a schedule and whether it is active.

    Raises:
        ObjectNotFound: there is no such deployment. ApiError: they do not fit the flow.
    """
    body = [
        given(schedule=each[0], active=each[1], parameters=parameters, slug=slug) if isinstance(each, tuple) else each
        for each in schedules
    ]
    return await api.many(DeploymentSchedule, Request("POST", path_of("deployments", deployment_id, "schedules"), body))


async def update_deployment_schedule(
    api: Api,
    /,
    deployment_id: UUID | str,
    schedule_id: UUID | str,
    active: bool | None = None,
    schedule: SCHEDULE_TYPES | None = None,
    parameters: Mapping[str, Any] | None = None,
    slug: str | None = None,
) -> None:
    """Change what is given of a schedule. Raises ObjectNotFound, ApiError."""
    body = given(active=active, schedule=schedule, parameters=parameters, slug=slug)
    await api.ask(Request("PATCH", path_of("deployments", deployment_id, "schedules", schedule_id), body))


async def delete_deployment_schedule(api: Api, /, deployment_id: UUID | str, schedule_id: UUID | str) -> None:
    """Take a schedule away; its runs stay. Raises ObjectNotFound."""
    await api.ask(Request("DELETE", path_of("deployments", deployment_id, "schedules", schedule_id)))
