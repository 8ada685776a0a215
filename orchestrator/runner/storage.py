"""Where the code of flows is, under Prefect's name (``prefect.runner.storage``)."""

from orchestrator.deployments.git_repository import GitRepository
from orchestrator.deployments.remote_storage import LocalStorage, RemoteStorage

__all__ = ["GitRepository", "LocalStorage", "RemoteStorage"]
