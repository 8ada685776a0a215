"""Inputs of flow runs. Their values are JSON, as text; ``orchestrator.input`` has more convenient ways."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from orchestrator.api_client.api import Api, Request, given, path_of
from orchestrator.client.schemas.run_objects import FlowRunInput


async def create_flow_run_input(
    api: Api, /, flow_run_id: UUID | str, key: str, value: str, sender: str | None = None
) -> None:
    """Send an input to a flow run.

    Args:
        api: whom to ask.
        flow_run_id: to whom.
        key: unique in its flow run.
        value: JSON.
        sender: for whoever reads it.

    Raises:
        ObjectNotFound: there is no such run. ApiError: the value is no JSON. ApiConflict: it has that key already.
    """
    body = given(key=key, value=value, sender=sender)
    missing = f"Flow run {str(flow_run_id)!r} not found!"
    await api.ask(Request("POST", path_of("flow_runs", flow_run_id, "input"), body), missing=missing, creates=True)


async def filter_flow_run_input(
    api: Api, /, flow_run_id: UUID | str, key_prefix: str, limit: int = 1, exclude_keys: Iterable[str] | None = None
) -> list[FlowRunInput]:
    """Inputs whose keys begin so, the oldest first."""
    body = {"prefix": key_prefix, "limit": limit, "exclude_keys": list(exclude_keys or ())}
    return await api.many(FlowRunInput, Request("POST", path_of("flow_runs", flow_run_id, "input", "filter"), body))


async def read_flow_run_input(api: Api, /, flow_run_id: UUID | str, key: str) -> str:
    """The JSON of an input. Raises ObjectNotFound."""
    missing = f"flow run {flow_run_id} has no input {key!r}"
    return str(await api.value(Request("GET", path_of("flow_runs", flow_run_id, "input", key)), missing=missing))


async def delete_flow_run_input(api: Api, /, flow_run_id: UUID | str, key: str) -> None:
    """Delete an input. Raises ObjectNotFound."""
    missing = f"flow run {flow_run_id} has no input {key!r}"
    await api.ask(Request("DELETE", path_of("flow_runs", flow_run_id, "input", key)), missing=missing)
