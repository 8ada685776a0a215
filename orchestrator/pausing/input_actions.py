"""Single inputs of flow runs, by key: what ``orchestrator.input`` has beside sending and receiving. As in Prefect 3."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.pausing.stored_inputs import (
    add_input,
    default_sender,
    delete_input,
    ensure_flow_run_id,
    find_inputs,
    read_input,
)


@async_dispatch("acreate_flow_run_input")
def create_flow_run_input(
    key: str, value: Any, flow_run_id: UUID | str | None = None, sender: str | None = None
) -> None:
    """Send a value to a flow run under a key; on an event loop it returns an awaitable.

    Args:
        key: unique in its flow run.
        value: as JSON has it.
        flow_run_id: to whom; the flow run around this line unless given.
        sender: for whoever reads it.

    Raises:
        TypeError: the value is not JSON. RuntimeError: no flow run. ObjectNotFound: it is not known.
        BrokerConflict: it has another input of that key. BrokerError: the server does not answer.
    """
    add_input(ensure_flow_run_id(flow_run_id), key, value, sender)


async def acreate_flow_run_input(
    key: str, value: Any, flow_run_id: UUID | str | None = None, sender: str | None = None
) -> None:
    """:func:`create_flow_run_input` for coroutines."""
    await asyncio.to_thread(add_input, ensure_flow_run_id(flow_run_id), key, value, sender)


@async_dispatch("acreate_flow_run_input_from_model")
def create_flow_run_input_from_model(
    key: str, model_instance: BaseModel, flow_run_id: UUID | str | None = None, sender: str | None = None
) -> None:
    """Send the fields of a model; the sender is the flow run around this line unless given."""
    value = model_instance.model_dump(mode="json")
    add_input(ensure_flow_run_id(flow_run_id), key, value, sender or default_sender())


async def acreate_flow_run_input_from_model(
    key: str, model_instance: BaseModel, flow_run_id: UUID | str | None = None, sender: str | None = None
) -> None:
    """:func:`create_flow_run_input_from_model` for coroutines."""
    await asyncio.to_thread(create_flow_run_input_from_model, key, model_instance, flow_run_id, sender)


@async_dispatch("afilter_flow_run_input")
def filter_flow_run_input(
    key_prefix: str, limit: int = 1, exclude_keys: Iterable[str] | None = None, flow_run_id: UUID | str | None = None
) -> list[FlowRunInput]:
    """Inputs whose keys begin so, the oldest first; at most ``limit``. Raises RuntimeError, BrokerError."""
    return find_inputs(ensure_flow_run_id(flow_run_id), key_prefix, limit, exclude_keys or ())


async def afilter_flow_run_input(
    key_prefix: str, limit: int = 1, exclude_keys: Iterable[str] | None = None, flow_run_id: UUID | str | None = None
) -> list[FlowRunInput]:
    """:func:`filter_flow_run_input` for coroutines."""
    flow_run = ensure_flow_run_id(flow_run_id)
    return await asyncio.to_thread(find_inputs, flow_run, key_prefix, limit, exclude_keys or ())


@async_dispatch("aread_flow_run_input")
def read_flow_run_input(key: str, flow_run_id: UUID | str | None = None) -> Any:
    """The value of an input; ``None`` if there is none of that key. Raises RuntimeError, BrokerError."""
    found = read_input(ensure_flow_run_id(flow_run_id), key)
    return json.loads(found.value) if found is not None else None


async def aread_flow_run_input(key: str, flow_run_id: UUID | str | None = None) -> Any:
    """:func:`read_flow_run_input` for coroutines."""
    found = await asyncio.to_thread(read_input, ensure_flow_run_id(flow_run_id), key)
    return json.loads(found.value) if found is not None else None


@async_dispatch("adelete_flow_run_input")
def delete_flow_run_input(key: str, flow_run_id: UUID | str | None = None) -> None:
    """Delete an input. Raises ObjectNotFound: there is none of that key. RuntimeError, BrokerError."""
    delete_input(ensure_flow_run_id(flow_run_id), key)


async def adelete_flow_run_input(key: str, flow_run_id: UUID | str | None = None) -> None:
    """:func:`delete_flow_run_input` for coroutines."""
    await asyncio.to_thread(delete_input, ensure_flow_run_id(flow_run_id), key)
