"""Artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from orchestrator.api_client.api import Api, Request, path_of
from orchestrator.api_client.sections import body_of
from orchestrator.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from orchestrator.client.schemas.filters import ArtifactCollectionFilter, ArtifactFilter, FlowRunFilter, TaskRunFilter
from orchestrator.client.schemas.objects import Artifact, ArtifactCollection
from orchestrator.client.schemas.sorting import ArtifactSort


async def read_artifacts(
    api: Api,
    /,
    *,
    artifact_filter: ArtifactFilter | None = None,
    flow_run_filter: FlowRunFilter | None = None,
    task_run_filter: TaskRunFilter | None = None,
    sort: ArtifactSort | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Artifact]:
    """The artifacts that match, every version of a key, the newest first; at most 200."""
    body = body_of(
        {"flow_run_filter": flow_run_filter, "task_run_filter": task_run_filter},
        artifacts=artifact_filter,
        sort=sort,
        limit=limit,
        offset=offset,
    )
    return await api.many(Artifact, Request("POST", "/artifacts/filter", body))


async def read_latest_artifacts(
    api: Api,
    /,
    *,
    artifact_filter: ArtifactCollectionFilter | None = None,
    flow_run_filter: FlowRunFilter | None = None,
    task_run_filter: TaskRunFilter | None = None,
    sort: ArtifactSort | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[ArtifactCollection]:
    """The newest version of each key; at most 200 keys."""
    body = body_of(
        {"flow_run_filter": flow_run_filter, "task_run_filter": task_run_filter},
        artifacts=artifact_filter,
        sort=sort,
        limit=limit,
        offset=offset,
    )
    return await api.many(ArtifactCollection, Request("POST", "/artifacts/latest/filter", body))


async def create_artifact(api: Api, /, artifact: ArtifactCreate | Mapping[str, Any]) -> Artifact:
    """Leave an artifact; with a key that is there it is a new version. Raises ApiError: the data do not fit."""
    return await api.one(Artifact, Request("POST", "/artifacts/", artifact))


async def update_artifact(api: Api, /, artifact_id: UUID | str, artifact: ArtifactUpdate | Mapping[str, Any]) -> None:
    """Change what is given. Raises ObjectNotFound, ApiError."""
    changes = dict(artifact) if isinstance(artifact, Mapping) else artifact.model_dump(exclude_unset=True)
    await api.ask(Request("PATCH", path_of("artifacts", artifact_id), changes))


async def delete_artifact(api: Api, /, artifact_id: UUID | str) -> None:
    """Forget one. Raises ObjectNotFound."""
    await api.ask(
        Request("DELETE", path_of("artifacts", artifact_id)), missing=f"Artifact {str(artifact_id)!r} not found!"
    )
