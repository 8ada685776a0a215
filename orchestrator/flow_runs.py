"""Flow runs: wait for one by its id, pause, suspend and resume them. Follows Prefect 3 (``prefect.flow_runs``)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet
from orchestrator.client.waiting import check_timeout, wait_async
from orchestrator.deployments.flow_run_value import FlowRun, read_flow_run
from orchestrator.errors import FlowRunWaitTimeout
from orchestrator.futures import PrefectFuture
from orchestrator.pausing.in_flow import apause_flow_run, asuspend_flow_run, pause_flow_run, suspend_flow_run
from orchestrator.pausing.resuming import aresume_flow_run, resume_flow_run

log = logging.getLogger("orchestrator.flow_runs")


@async_dispatch("await_for_flow_run")
def wait_for_flow_run(
    flow_run_id: UUID | str,
    timeout: float | None = 10800,
    poll_interval: float | None = None,
    client: Any = None,
    log_states: bool = False,
) -> FlowRun:
    """Wait until a flow run that was sent to a worker has ended; on an event loop it returns an awaitable.

    Args:
        flow_run_id: its id.
        timeout: seconds to wait; ``None``: however long it takes.
        poll_interval, client: accepted; nothing polls, the end is sent to this process.
        log_states: log the state at the beginning and the end.

    Raises:
        FlowRunWaitTimeout: it has not ended in time; it goes on.
        ObjectNotFound: there is no such run. ValueError: a negative timeout. BrokerError.
    """
    check_timeout(timeout)
    run = _read(flow_run_id)
    future: PrefectFuture[Any] = PrefectFuture(run.id)
    if not run.state.is_final():
        _log(run, log_states)
        future.wait(timeout)
    return _ended(future, timeout, log_states)


async def await_for_flow_run(
    flow_run_id: UUID | str,
    timeout: float | None = 10800,
    poll_interval: float | None = None,
    client: Any = None,
    log_states: bool = False,
) -> FlowRun:
    """:func:`wait_for_flow_run` for event loops, which it never blocks."""
    check_timeout(timeout)
    run = await asyncio.to_thread(_read, flow_run_id)
    future: PrefectFuture[Any] = PrefectFuture(run.id)
    if not run.state.is_final():
        _log(run, log_states)
        await wait_async([future], timeout)
    return await asyncio.to_thread(_ended, future, timeout, log_states)


def _read(flow_run_id: UUID | str) -> FlowRun:
    return read_flow_run(current_fleet(), str(UUID(str(flow_run_id))))


def _ended(future: PrefectFuture[Any], timeout: float | None, log_states: bool) -> FlowRun:
    run = read_flow_run(current_fleet(), future.run_id)
    if not run.state.is_final():
        raise FlowRunWaitTimeout(
            f"flow run {run.name!r} has not ended within {timeout:g} s; it is {run.state.name} and goes on"
        )
    _log(run, log_states)
    return run


def _log(run: FlowRun, wanted: bool) -> None:
    if wanted:
        log.info("flow run %r is %s", run.name, run.state.name)


for _public in (
    apause_flow_run, aresume_flow_run, asuspend_flow_run, pause_flow_run, resume_flow_run, suspend_flow_run,
):  # fmt: skip
    _public.__module__ = __name__

__all__ = [
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "await_for_flow_run",
    "pause_flow_run",
    "resume_flow_run",
    "suspend_flow_run",
    "wait_for_flow_run",
]
