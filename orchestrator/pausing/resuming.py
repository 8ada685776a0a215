"""Resuming a paused or suspended flow run."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from brokers.messages import Status
from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import Fleet, current_fleet
from orchestrator.deployments.parameter_schema import check_parameters
from orchestrator.errors import NotPausedError, ObjectNotFound, ParameterBindError, ParameterTypeError
from orchestrator.inspection.flow_run_standings import shown_states
from orchestrator.pausing.pause import Pause, pause_of, write_answer


@async_dispatch("aresume_flow_run")
def resume_flow_run(flow_run_id: UUID | str, run_input: dict[str, Any] | None = None) -> None:
    """Have a paused or suspended flow run go on; on an event loop it returns an awaitable.

    Args:
        flow_run_id: its id.
        run_input: what it waits for, as JSON has it: the fields of its model, or ``{"value": ...}`` for another type.

    Raises:
        NotPausedError: it is not paused, has been resumed, or has timed out.
        ParameterTypeError: the input does not fit; the run stays paused.
        ObjectNotFound: there is no such run. BrokerError: the server does not answer.

    Follows Prefect 3 (``prefect.flow_runs.resume_flow_run``).
    """
    resume(current_fleet(), str(UUID(str(flow_run_id))), run_input)


async def aresume_flow_run(flow_run_id: UUID | str, run_input: dict[str, Any] | None = None) -> None:
    """:func:`resume_flow_run` for coroutines."""
    await asyncio.to_thread(resume, current_fleet(), str(UUID(str(flow_run_id))), run_input)


def resume(fleet: Fleet, flow_run_id: str, run_input: dict[str, Any] | None = None) -> None:
    """See :func:`resume_flow_run`."""
    pause = paused(fleet, flow_run_id)
    check_input(pause, run_input)
    write_answer(fleet, flow_run_id, pause.id, run_input)
    if pause.suspended:
        fleet.broker.flow_runs.write(flow_run_id, {"type": "SCHEDULED", "state": "Resuming", "message": b""})
    (before,) = fleet.broker.runs.cancel([pause.id], "resumed")
    if before != Status.DELAYED:
        raise NotPausedError(f"flow run {flow_run_id} has been resumed already, or has timed out")


def paused(fleet: Fleet, flow_run_id: str) -> Pause:
    """The pause in which a flow run is. Raises ObjectNotFound, NotPausedError, BrokerError."""
    fields = fleet.broker.flow_runs.read(flow_run_id)
    if not fields:
        raise ObjectNotFound(f"Flow run {flow_run_id!r} not found! It has expired, or never was in this namespace.")
    state = shown_states(fleet, {flow_run_id: fields}).get(flow_run_id)
    pause = pause_of(fields)
    if state is None or state.type != "PAUSED" or pause is None:
        raise NotPausedError(f"flow run {flow_run_id} is not paused: it is {state.name if state else 'unknown'}")
    return pause


def check_input(pause: Pause, run_input: dict[str, Any] | None) -> None:
    """Whether an input is what a pause waits for. Raises ParameterTypeError, with the field."""
    if pause.schema is None:
        if run_input:
            raise ParameterTypeError("the flow run waits for no input: resume it without one")
        return
    try:
        check_parameters(pause.schema, run_input or {}, "the input", whole=True)
    except (ParameterBindError, ParameterTypeError) as error:
        state = "Suspended" if pause.suspended else "Paused"
        raise ParameterTypeError(f"{error}; the flow run stays {state}") from None
