"""The two clients: one table of methods behind two doors. Method names follow Prefect 3 (``PrefectClient``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload

from orchestrator.api_client import (
    artifacts,
    automations,
    blocks,
    deployments,
    flow_runs,
    flows,
    inputs,
    limits,
    schedules,
    server,
    task_runs,
    variables,
    work_pools,
)
from orchestrator.api_client.api import Api
from orchestrator.api_client.connection import AsyncHttpApi, AsyncStoreApi, SyncHttpApi, SyncStoreApi
from orchestrator.api_client.method import Method
from orchestrator.futures import (
    PrefectFuture as PrefectFuture,  # states that it gives read results in files, as these do
)
from orchestrator.settings import Settings, current


class Methods:
    """Everything that can be asked: functions on a client that waits, coroutine functions on the other one."""

    api_healthcheck = Method(server.api_healthcheck)
    api_version = Method(server.api_version)
    hello = Method(server.hello)

    read_flows = Method(flows.read_flows)
    read_flow = Method(flows.read_flow)
    read_flow_by_name = Method(flows.read_flow_by_name)
    create_flow = Method(flows.create_flow)
    create_flow_from_name = Method(flows.create_flow_from_name)
    delete_flow = Method(flows.delete_flow)
    count_flows = Method(flows.count_flows)

    read_flow_runs = Method(flow_runs.read_flow_runs)
    read_flow_run = Method(flow_runs.read_flow_run)
    count_flow_runs = Method(flow_runs.count_flow_runs)
    create_flow_run = Method(flow_runs.create_flow_run)
    update_flow_run = Method(flow_runs.update_flow_run)
    set_flow_run_name = Method(flow_runs.set_flow_run_name)
    set_flow_run_state = Method(flow_runs.set_flow_run_state)
    resume_flow_run = Method(flow_runs.resume_flow_run)
    create_flow_run_input = Method(inputs.create_flow_run_input)
    filter_flow_run_input = Method(inputs.filter_flow_run_input)
    read_flow_run_input = Method(inputs.read_flow_run_input)
    delete_flow_run_input = Method(inputs.delete_flow_run_input)
    delete_flow_run = Method(flow_runs.delete_flow_run)
    read_flow_run_states = Method(flow_runs.read_flow_run_states)

    read_task_runs = Method(task_runs.read_task_runs)
    read_task_run = Method(task_runs.read_task_run)
    count_task_runs = Method(task_runs.count_task_runs)
    set_task_run_state = Method(task_runs.set_task_run_state)
    delete_task_run = Method(task_runs.delete_task_run)
    read_task_run_states = Method(task_runs.read_task_run_states)
    create_logs = Method(task_runs.create_logs)
    read_logs = Method(task_runs.read_logs)

    read_deployments = Method(deployments.read_deployments)
    read_deployment = Method(deployments.read_deployment)
    read_deployment_by_name = Method(deployments.read_deployment_by_name)
    count_deployments = Method(deployments.count_deployments)
    create_deployment = Method(deployments.create_deployment)
    update_deployment = Method(deployments.update_deployment)
    delete_deployment = Method(deployments.delete_deployment)
    pause_deployment = Method(deployments.pause_deployment)
    resume_deployment = Method(deployments.resume_deployment)
    set_deployment_paused_state = Method(deployments.set_deployment_paused_state)
    create_flow_run_from_deployment = Method(deployments.create_flow_run_from_deployment)
    get_scheduled_flow_runs_for_deployments = Method(deployments.get_scheduled_flow_runs_for_deployments)

    read_deployment_schedules = Method(schedules.read_deployment_schedules)
    create_deployment_schedules = Method(schedules.create_deployment_schedules)
    update_deployment_schedule = Method(schedules.update_deployment_schedule)
    delete_deployment_schedule = Method(schedules.delete_deployment_schedule)

    read_work_pools = Method(work_pools.read_work_pools)
    read_work_pool = Method(work_pools.read_work_pool)
    count_work_pools = Method(work_pools.count_work_pools)
    create_work_pool = Method(work_pools.create_work_pool)
    update_work_pool = Method(work_pools.update_work_pool)
    delete_work_pool = Method(work_pools.delete_work_pool)
    read_workers_for_work_pool = Method(work_pools.read_workers_for_work_pool)
    get_scheduled_flow_runs_for_work_pool = Method(work_pools.get_scheduled_flow_runs_for_work_pool)

    read_work_queues = Method(work_pools.read_work_queues)
    read_work_queue = Method(work_pools.read_work_queue)
    read_work_queue_by_name = Method(work_pools.read_work_queue_by_name)
    create_work_queue = Method(work_pools.create_work_queue)
    update_work_queue = Method(work_pools.update_work_queue)
    delete_work_queue_by_id = Method(work_pools.delete_work_queue_by_id)

    read_global_concurrency_limits = Method(limits.read_global_concurrency_limits)
    read_global_concurrency_limit_by_name = Method(limits.read_global_concurrency_limit_by_name)
    create_global_concurrency_limit = Method(limits.create_global_concurrency_limit)
    update_global_concurrency_limit = Method(limits.update_global_concurrency_limit)
    delete_global_concurrency_limit_by_name = Method(limits.delete_global_concurrency_limit_by_name)
    upsert_global_concurrency_limit_by_name = Method(limits.upsert_global_concurrency_limit_by_name)

    read_variables = Method(variables.read_variables)
    read_variable_by_name = Method(variables.read_variable_by_name)
    create_variable = Method(variables.create_variable)
    update_variable = Method(variables.update_variable)
    delete_variable_by_name = Method(variables.delete_variable_by_name)

    read_artifacts = Method(artifacts.read_artifacts)
    read_latest_artifacts = Method(artifacts.read_latest_artifacts)
    create_artifact = Method(artifacts.create_artifact)
    update_artifact = Method(artifacts.update_artifact)
    delete_artifact = Method(artifacts.delete_artifact)

    read_block_types = Method(blocks.read_block_types)
    read_block_type_by_slug = Method(blocks.read_block_type_by_slug)
    delete_block_type = Method(blocks.delete_block_type)
    read_block_schemas = Method(blocks.read_block_schemas)
    read_block_schema_by_checksum = Method(blocks.read_block_schema_by_checksum)
    read_block_documents = Method(blocks.read_block_documents)
    read_block_documents_by_type = Method(blocks.read_block_documents_by_type)
    read_block_document = Method(blocks.read_block_document)
    read_block_document_by_name = Method(blocks.read_block_document_by_name)
    create_block_document = Method(blocks.create_block_document)
    update_block_document = Method(blocks.update_block_document)
    delete_block_document = Method(blocks.delete_block_document)

    read_automations = Method(automations.read_automations)
    read_automations_by_name = Method(automations.read_automations_by_name)
    read_automation = Method(automations.read_automation)
    find_automation = Method(automations.find_automation)
    create_automation = Method(automations.create_automation)
    update_automation = Method(automations.update_automation)
    pause_automation = Method(automations.pause_automation)
    resume_automation = Method(automations.resume_automation)
    delete_automation = Method(automations.delete_automation)
    read_events = Method(automations.read_events)
    read_events_page = Method(automations.read_events_page)


class Client(Methods):
    """What both clients have: where the API is.

    Args:
        api: its address, ``http://host:4200/api``; the setting ``api_url`` unless given; without either the store is
            asked, in this process.
        api_key: sent as a bearer token; the setting ``api_key`` unless given.
        httpx_settings: further keywords of httpx's client, such as ``timeout``, ``verify`` or ``headers``.

    Raises:
        ConfigurationError: that is no address, or a library is missing.
    """

    api: Api

    @property
    def api_url(self) -> str:
        """The address of the API; ``the store`` if it is asked in this process."""
        return self.api.place


class OrchestrationClient(Client):
    """The client for event loops: its methods are awaited."""

    awaits = None

    def __init__(
        self,
        api: str | None = None,
        *,
        api_key: str | None = None,
        httpx_settings: Mapping[str, Any] | None = None,
    ) -> None:
        settings = current()
        url = api or settings.api_url
        self.api: AsyncHttpApi | AsyncStoreApi = (
            AsyncHttpApi(url, api_key or _key(settings), httpx_settings) if url else AsyncStoreApi()
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.api.aclose()


class SyncOrchestrationClient(Client):
    """The client for code that waits."""

    waits = None

    def __init__(
        self,
        api: str | None = None,
        *,
        api_key: str | None = None,
        httpx_settings: Mapping[str, Any] | None = None,
    ) -> None:
        settings = current()
        url = api or settings.api_url
        self.api: SyncHttpApi | SyncStoreApi = (
            SyncHttpApi(url, api_key or _key(settings), httpx_settings) if url else SyncStoreApi()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.api.close()


def _key(settings: Settings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key is not None else None


@overload
def get_client(
    httpx_settings: Mapping[str, Any] | None = None, sync_client: Literal[False] = False
) -> OrchestrationClient: ...


@overload
def get_client(
    httpx_settings: Mapping[str, Any] | None = None, *, sync_client: Literal[True]
) -> SyncOrchestrationClient: ...


@overload
def get_client(httpx_settings: Mapping[str, Any] | None, sync_client: Literal[True]) -> SyncOrchestrationClient: ...


def get_client(
    httpx_settings: Mapping[str, Any] | None = None, sync_client: bool = False
) -> OrchestrationClient | SyncOrchestrationClient:
    """A client of the API: over HTTP where ``ORCHESTRATOR_API_URL`` is set, else on the store, in this process.

    It may be used as a context manager, which closes its connections at the end, or without.

    Args:
        httpx_settings: further keywords of httpx's client, such as ``timeout`` (seconds), ``verify`` or ``headers``.
        sync_client: whether its methods wait; otherwise they are awaited.

    Raises:
        ConfigurationError: a setting is not valid, or a library is missing (``pip install 'orchestrator[client]'``).

    >>> with get_client(sync_client=True) as client:
    ...     client.api_url
    'the store'

    Follows Prefect 3 (``prefect.client.orchestration.get_client``).
    """
    if sync_client:
        return SyncOrchestrationClient(httpx_settings=httpx_settings)
    return OrchestrationClient(httpx_settings=httpx_settings)
