"""Where the code of flows is, under Prefect's name (``prefect.runner.storage``)."""

from orchestrator.deployments.git_repository import GitRepository

__all__ = ["GitRepository"]
