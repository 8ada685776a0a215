"""Inputs of flow runs: what a paused one waits for, and what a running one is sent, as Prefect's (``prefect.input``).

``pause_flow_run(wait_for_input=Approval)`` waits for one; ``send_input`` and ``receive_input`` go on while a flow runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeVar, overload
from uuid import UUID

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.schemas.run_objects import FlowRunInput
from orchestrator.pausing.input_actions import (
    acreate_flow_run_input,
    acreate_flow_run_input_from_model,
    adelete_flow_run_input,
    afilter_flow_run_input,
    aread_flow_run_input,
    create_flow_run_input,
    create_flow_run_input_from_model,
    delete_flow_run_input,
    filter_flow_run_input,
    read_flow_run_input,
)
from orchestrator.pausing.receiving import GetInputHandler
from orchestrator.pausing.run_input import (
    AutomaticRunInput,
    RunInput,
    RunInputMetadata,
    keys_of,
    run_input_subclass_from_type,
    send,
)
from orchestrator.states import State

T = TypeVar("T")
Keyset: TypeAlias = dict[str, str]

for _public in (AutomaticRunInput, GetInputHandler, RunInput, RunInputMetadata):
    _public.__module__ = __name__


@async_dispatch("asend_input")
def send_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> None:
    """Send an input to a flow run, whether it waits for one or not; on an event loop it returns an awaitable.

    Args:
        run_input: a :class:`RunInput`, another pydantic model, or any value that pydantic can write as JSON.
        flow_run_id: to whom; kept as long as its record.
        sender: for the receiver; the flow run around this line unless given, to which it can respond.
        key_prefix: how its key begins; the name of its class unless given.

    Raises:
        TypeError: it cannot be written as JSON. PayloadTooLarge: it is too large; nothing was sent.
        ObjectNotFound: there is no such flow run. ValueError: that is no id. BrokerError: the server does not answer.

    Follows Prefect 3 (``prefect.input.send_input``).
    """
    send(run_input, flow_run_id, sender, key_prefix)


async def asend_input(
    run_input: Any, flow_run_id: UUID | str, sender: str | None = None, key_prefix: str | None = None
) -> None:
    """:func:`send_input` for coroutines."""
    await asyncio.to_thread(send, run_input, flow_run_id, sender, key_prefix)


@overload
def receive_input(
    input_type: type[T],
    timeout: float | None = 3600,
    poll_interval: float = 10,
    raise_timeout_error: bool = False,
    exclude_keys: Iterable[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
) -> GetInputHandler[T]: ...
@overload
def receive_input(
    input_type: Any,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    raise_timeout_error: bool = False,
    exclude_keys: Iterable[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> GetInputHandler[Any]: ...
def receive_input(
    input_type: Any,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    raise_timeout_error: bool = False,
    exclude_keys: Iterable[str] | None = None,
    key_prefix: str | None = None,
    flow_run_id: UUID | str | None = None,
    with_metadata: bool = False,
) -> GetInputHandler[Any]:
    """The inputs of a type that a flow run is sent, each once: ``for``, ``async for``, or ``next()``.

    Args:
        input_type: a :class:`RunInput`, another pydantic model, or any type: ``receive_input(str)`` gives texts.
        timeout: seconds to wait for each; a loop ends then. ``None``: for ever.
        poll_interval: seconds after which it looks although nobody has notified it that there is one.
        raise_timeout_error: end a loop with TimeoutError instead.
        exclude_keys: of inputs that are passed over.
        key_prefix: how the keys begin of what is received; that of the type unless given.
        flow_run_id: whose; the flow run around this line unless given.
        with_metadata: give plain values as objects with ``value``, ``metadata`` and ``respond``.

    Raises:
        RuntimeError: no flow run was given, and there is none around this line. TypeError: no JSON has that type.
        ValueError: a negative timeout or interval, or no id.

    Follows Prefect 3 (``prefect.input.receive_input``).
    """
    input_class = run_input_subclass_from_type(input_type)
    automatic = issubclass(input_class, AutomaticRunInput) and not with_metadata and input_class is not input_type

    def to_value(found: FlowRunInput) -> Any:
        loaded: Any = input_class.load_from_flow_run_input(found)
        return loaded.value if automatic else loaded

    keys = key_prefix if key_prefix is not None else keys_of(input_type)
    return GetInputHandler(to_value, keys, timeout, poll_interval, raise_timeout_error, exclude_keys, flow_run_id)


def keyset_from_base_key(base_key: str) -> Keyset:
    """The keys of what belongs to one input in Prefect's store.

    >>> keyset_from_base_key("paused-1")["response"]
    'paused-1-response'
    """
    return {part: f"{base_key}-{part}" for part in ("description", "response", "schema")}


def keyset_from_paused_state(state: State[Any]) -> Keyset:
    """The keys of what a paused run waits for, by its state. Raises RuntimeError: it is not paused."""
    if not state.is_paused():
        raise RuntimeError(f"{state.type.value!r} is unsupported.")
    return keyset_from_base_key(f"{(state.name or '').lower()}-{state.state_details.pause_key}")


__all__ = [
    "AutomaticRunInput",
    "GetInputHandler",
    "Keyset",
    "RunInput",
    "RunInputMetadata",
    "acreate_flow_run_input",
    "acreate_flow_run_input_from_model",
    "adelete_flow_run_input",
    "afilter_flow_run_input",
    "aread_flow_run_input",
    "asend_input",
    "create_flow_run_input",
    "create_flow_run_input_from_model",
    "delete_flow_run_input",
    "filter_flow_run_input",
    "keyset_from_base_key",
    "keyset_from_paused_state",
    "read_flow_run_input",
    "receive_input",
    "run_input_subclass_from_type",
    "send_input",
]
