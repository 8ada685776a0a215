"""What the client answers with; names as in Prefect's ``prefect.client.schemas.objects``."""

from orchestrator.client.schemas.definition_objects import (
    Deployment,
    DeploymentResponse,
    DeploymentSchedule,
    GlobalConcurrencyLimit,
    GlobalConcurrencyLimitResponse,
)
from orchestrator.client.schemas.kept_objects import (
    Artifact,
    ArtifactCollection,
    Automation,
    BlockDocument,
    BlockSchema,
    BlockType,
    Variable,
)
from orchestrator.client.schemas.limits import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from orchestrator.client.schemas.run_objects import Flow, FlowRun, FlowRunInput, Log, OrchestrationResult, TaskRun
from orchestrator.client.schemas.work_pools import Worker, WorkerFlowRunResponse, WorkPool, WorkQueue
from orchestrator.states import State, StateDetails, StateType

__all__ = [
    "Artifact",
    "ArtifactCollection",
    "Automation",
    "BlockDocument",
    "BlockSchema",
    "BlockType",
    "ConcurrencyLimitConfig",
    "ConcurrencyLimitStrategy",
    "Deployment",
    "DeploymentResponse",
    "DeploymentSchedule",
    "Flow",
    "FlowRun",
    "FlowRunInput",
    "GlobalConcurrencyLimit",
    "GlobalConcurrencyLimitResponse",
    "Log",
    "OrchestrationResult",
    "State",
    "StateDetails",
    "StateType",
    "TaskRun",
    "Variable",
    "WorkPool",
    "WorkQueue",
    "Worker",
    "WorkerFlowRunResponse",
]
