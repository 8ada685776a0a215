"""Which artifacts are meant; see ``filters``."""

from __future__ import annotations

from orchestrator.client.schemas.criteria import Criterion, LikeNames, OfIds, OfNames


class ArtifactFilterId(OfIds):
    """By the id of the artifact."""


class ArtifactFilterKey(LikeNames):
    """By its key, or whether it has one."""

    exists_: bool | None = None


class ArtifactFilterFlowRunId(OfIds):
    """By the flow run that left it."""


class ArtifactFilterTaskRunId(OfIds):
    """By the task run that left it."""


class ArtifactFilterType(OfNames):
    """By its type, such as ``markdown`` or ``table``."""

    not_any_: list[str] | None = None


class ArtifactFilter(Criterion):
    """Which artifacts."""

    id: ArtifactFilterId | None = None
    key: ArtifactFilterKey | None = None
    flow_run_id: ArtifactFilterFlowRunId | None = None
    task_run_id: ArtifactFilterTaskRunId | None = None
    type: ArtifactFilterType | None = None


class ArtifactCollectionFilter(Criterion):
    """Which keys, by their newest versions."""

    latest_id: ArtifactFilterId | None = None
    key: ArtifactFilterKey | None = None
    flow_run_id: ArtifactFilterFlowRunId | None = None
    task_run_id: ArtifactFilterTaskRunId | None = None
    type: ArtifactFilterType | None = None
