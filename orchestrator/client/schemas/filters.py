"""Which objects are meant; names as in Prefect's ``prefect.client.schemas.filters``.

>>> FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=["FAILED"]))).model_dump(exclude_none=True)
{'state': {'type': {'any_': [<StateType.FAILED: 'FAILED'>]}}}
"""

from __future__ import annotations

from orchestrator.client.schemas.artifact_filters import ArtifactCollectionFilter as ArtifactCollectionFilter
from orchestrator.client.schemas.artifact_filters import ArtifactFilter as ArtifactFilter
from orchestrator.client.schemas.artifact_filters import ArtifactFilterFlowRunId as ArtifactFilterFlowRunId
from orchestrator.client.schemas.artifact_filters import ArtifactFilterId as ArtifactFilterId
from orchestrator.client.schemas.artifact_filters import ArtifactFilterKey as ArtifactFilterKey
from orchestrator.client.schemas.artifact_filters import ArtifactFilterTaskRunId as ArtifactFilterTaskRunId
from orchestrator.client.schemas.artifact_filters import ArtifactFilterType as ArtifactFilterType
from orchestrator.client.schemas.base import RunId
from orchestrator.client.schemas.criteria import (
    AtMoments,
    AtMomentsOrNone,
    Criterion,
    IsTrue,
    LikeNames,
    OfIds,
    OfIdsOrNone,
    OfNames,
    OfStateNames,
    OfStateTypes,
    WithTags,
)

# -- flows -------------------------------------------------------------------------------------------------------------


class FlowFilterId(OfIds):
    """By the id of the flow."""


class FlowFilterName(LikeNames):
    """By the name of the flow."""


class FlowFilterDeployment(Criterion):
    """By whether the flow has deployments: ``is_null_`` means none."""

    is_null_: bool | None = None


class FlowFilter(Criterion):
    """Which flows."""

    id: FlowFilterId | None = None
    name: FlowFilterName | None = None
    deployment: FlowFilterDeployment | None = None


# -- flow runs ---------------------------------------------------------------------------------------------------------


class FlowRunFilterId(OfIds):
    """By the id of the flow run."""

    not_any_: list[RunId] | None = None


class FlowRunFilterName(LikeNames):
    """By the name of the flow run."""


class FlowRunFilterTags(WithTags):
    """By the tags of the flow run."""


class FlowRunFilterDeploymentId(OfIdsOrNone):
    """By its deployment."""


class FlowRunFilterStateType(OfStateTypes):
    """By the type of its state."""


class FlowRunFilterStateName(OfStateNames):
    """By the name of its state."""


class FlowRunFilterState(Criterion):
    """By its state; type and name both have to fit."""

    type: FlowRunFilterStateType | None = None
    name: FlowRunFilterStateName | None = None


class FlowRunFilterStartTime(AtMomentsOrNone):
    """By the moment of its start."""


class FlowRunFilterEndTime(AtMomentsOrNone):
    """By the moment of its end."""


class FlowRunFilterExpectedStartTime(AtMoments):
    """By the moment at which it was to begin."""


class FlowRunFilterNextScheduledStartTime(AtMoments):
    """By the moment at which it is to begin."""


class FlowRunFilterParentFlowRunId(OfIdsOrNone):
    """By the flow run that called it."""


class FlowRunFilter(Criterion):
    """Which flow runs."""

    id: FlowRunFilterId | None = None
    name: FlowRunFilterName | None = None
    tags: FlowRunFilterTags | None = None
    deployment_id: FlowRunFilterDeploymentId | None = None
    state: FlowRunFilterState | None = None
    start_time: FlowRunFilterStartTime | None = None
    end_time: FlowRunFilterEndTime | None = None
    expected_start_time: FlowRunFilterExpectedStartTime | None = None
    next_scheduled_start_time: FlowRunFilterNextScheduledStartTime | None = None
    parent_flow_run_id: FlowRunFilterParentFlowRunId | None = None


# -- task runs ---------------------------------------------------------------------------------------------------------


class TaskRunFilterId(OfIds):
    """By the id of the task run."""


class TaskRunFilterName(LikeNames):
    """By the name of the task (ours: ``*`` and ``?`` stand for any text); ``like_``: or of the run."""


class TaskRunFilterTags(WithTags):
    """By the tags of the task run."""


class TaskRunFilterStateType(OfStateTypes):
    """By the type of its state."""


class TaskRunFilterStateName(OfStateNames):
    """By the name of its state."""


class TaskRunFilterState(Criterion):
    """By its state; type and name both have to fit."""

    type: TaskRunFilterStateType | None = None
    name: TaskRunFilterStateName | None = None


class TaskRunFilterFlowRunId(OfIdsOrNone):
    """By the flow run that called it."""


class TaskRunFilterExpectedStartTime(AtMoments):
    """By the moment at which it was to begin."""


class TaskRunFilterStartTime(AtMomentsOrNone):
    """By the moment of its start."""


class TaskRunFilterEndTime(AtMomentsOrNone):
    """By the moment of its end."""


class TaskRunFilter(Criterion):
    """Which task runs."""

    id: TaskRunFilterId | None = None
    name: TaskRunFilterName | None = None
    tags: TaskRunFilterTags | None = None
    state: TaskRunFilterState | None = None
    flow_run_id: TaskRunFilterFlowRunId | None = None
    expected_start_time: TaskRunFilterExpectedStartTime | None = None
    start_time: TaskRunFilterStartTime | None = None
    end_time: TaskRunFilterEndTime | None = None


# -- deployments and pools ---------------------------------------------------------------------------------------------


class DeploymentFilterId(OfIds):
    """By the id of the deployment."""

    not_any_: list[RunId] | None = None


class DeploymentFilterName(LikeNames):
    """By the name of the deployment."""


class DeploymentOrFlowNameFilter(LikeNames):
    """By the name of the deployment or of its flow."""


class DeploymentFilterPaused(IsTrue):
    """By whether it is paused."""


class DeploymentFilterTags(WithTags):
    """By its tags."""


class DeploymentFilterWorkQueueName(OfNames):
    """By its work queue."""


class DeploymentFilter(Criterion):
    """Which deployments."""

    id: DeploymentFilterId | None = None
    name: DeploymentFilterName | None = None
    flow_or_deployment_name: DeploymentOrFlowNameFilter | None = None
    paused: DeploymentFilterPaused | None = None
    tags: DeploymentFilterTags | None = None
    work_queue_name: DeploymentFilterWorkQueueName | None = None


class WorkPoolFilterId(OfIds):
    """By the id of the pool."""


class WorkPoolFilterName(OfNames):
    """By the name of the pool."""


class WorkPoolFilterType(OfNames):
    """By the type of the pool."""


class WorkPoolFilter(Criterion):
    """Which work pools."""

    id: WorkPoolFilterId | None = None
    name: WorkPoolFilterName | None = None
    type: WorkPoolFilterType | None = None


class WorkQueueFilterId(OfIds):
    """By the id of the queue."""


class WorkQueueFilterName(OfNames):
    """By the name of the queue."""


class WorkQueueFilter(Criterion):
    """Which work queues."""

    id: WorkQueueFilterId | None = None
    name: WorkQueueFilterName | None = None


# -- logs --------------------------------------------------------------------------------------------------------------


class LogFilterLevel(Criterion):
    """By the level, as Python's ``logging`` numbers it."""

    ge_: int | None = None
    le_: int | None = None


class LogFilterTimestamp(AtMoments):
    """By the moment."""


class LogFilterFlowRunId(OfIds):
    """By the flow run."""


class LogFilterTaskRunId(OfIds):
    """By the task run."""


class LogFilter(Criterion):
    """Which lines; at least one run has to be named."""

    level: LogFilterLevel | None = None
    timestamp: LogFilterTimestamp | None = None
    flow_run_id: LogFilterFlowRunId | None = None
    task_run_id: LogFilterTaskRunId | None = None
