"""``DockerImage``, where Prefect has it (``prefect.docker``)."""

from orchestrator.deployments.image_building import DockerImage

__all__ = ["DockerImage"]
