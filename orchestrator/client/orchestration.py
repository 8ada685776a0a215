"""The client of the API, where Prefect has it (``prefect.client.orchestration``)."""

from orchestrator.api_client.client import OrchestrationClient, SyncOrchestrationClient, get_client

PrefectClient = OrchestrationClient
SyncPrefectClient = SyncOrchestrationClient

__all__ = ["OrchestrationClient", "PrefectClient", "SyncOrchestrationClient", "SyncPrefectClient", "get_client"]
