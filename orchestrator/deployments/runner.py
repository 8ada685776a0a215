"""``prefect.deployments.runner``, see the package."""

from orchestrator.deployments.deploying import DockerImage, deploy
from orchestrator.deployments.runner_deployment import RunnerDeployment

__all__ = ["DockerImage", "RunnerDeployment", "deploy"]
