"""Pausing and suspending the flow run around a line."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

from orchestrator.client.async_dispatch import async_dispatch
from orchestrator.client.fleet import current_fleet
from orchestrator.client.waiting import check_timeout, wait_async
from orchestrator.errors import FlowPauseTimeout
from orchestrator.futures import PrefectFuture
from orchestrator.pausing.pause import FOREVER_SECONDS, Pause, begin, has_ended, pause_id_of, read_answer
from orchestrator.pausing.requests import HOUR, request_suspension
from orchestrator.pausing.run_input import Wanted
from orchestrator.pausing.signal import SuspendFlowRun
from orchestrator.runs.current import current_attempt, current_flow_run, current_transaction
from orchestrator.states import Paused, Running


@async_dispatch("apause_flow_run")
def pause_flow_run(
    wait_for_input: Any = None, timeout: float | None = HOUR, poll_interval: float | None = None, key: str | None = None
) -> Any:
    """Wait in this flow until somebody resumes its run; the state is Paused meanwhile, and a worker's place is lent.

    On an event loop it returns an awaitable.

    Args:
        wait_for_input: a :class:`orchestrator.input.RunInput`, a pydantic model or a type: what has to be given.
        timeout: seconds until it is too late; ``None``: never.
        poll_interval: accepted; nothing polls.
        key: names this pause among others of the run; by default they are counted.

    Returns:
        The input; ``None`` if it waits for none.

    Raises:
        FlowPauseTimeout: nobody has resumed it in time. The flow fails of it unless it is caught.
        pydantic.ValidationError: a validator of the model refuses the input; it has no values. Pause again for another.
        RuntimeError: outside of a flow, or in a task.
        BrokerError: the server does not answer.

    Follows Prefect 3 (``prefect.flow_runs.pause_flow_run``).
    """
    run, wanted, pause, answered = _begin("paused", wait_for_input, timeout, key, suspended=False)
    if not answered:
        PrefectFuture[Any](pause.id).wait(max(pause.until - time.time(), 0))
    return _resumed(run, pause, wanted)


async def apause_flow_run(
    wait_for_input: Any = None, timeout: float | None = HOUR, poll_interval: float | None = None, key: str | None = None
) -> Any:
    """:func:`pause_flow_run` for coroutines: never blocks the loop."""
    begun = await asyncio.to_thread(_begin, "paused", wait_for_input, timeout, key, suspended=False)
    run, wanted, pause, answered = begun
    if not answered:
        await wait_async([PrefectFuture[Any](pause.id)], max(pause.until - time.time(), 0))
    return await asyncio.to_thread(_resumed, run, pause, wanted)


@async_dispatch("asuspend_flow_run")
def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = HOUR,
    key: str | None = None,
) -> Any:
    """End this flow run's process until somebody resumes it; the state is Suspended meanwhile, and it holds no place.

    When it is resumed it is queued again, and the flow runs from its beginning: calls of tasks that have completed
    answer at once with what they returned, and this call returns. On an event loop it returns an awaitable.

    Args:
        wait_for_input, timeout, key: see :func:`pause_flow_run`.
        flow_run_id: another run, which is suspended at its next call of a task.

    Returns:
        The input; ``None`` if it waits for none.

    Raises:
        RuntimeError: outside of a flow, in a task, in a transaction, or in a flow run that no worker runs: nobody could
            go on with it.
        FlowPauseTimeout: nobody has resumed it in time.
        ObjectNotFound: there is no run of that id. BrokerError: the server does not answer.

    Follows Prefect 3 (``prefect.flow_runs.suspend_flow_run``); there completed tasks are run again unless their results
    are persisted.
    """
    if flow_run_id is not None:
        return request_suspension(current_fleet(), str(UUID(str(flow_run_id))), timeout)
    run, wanted, pause, answered = _begin("suspended", wait_for_input, timeout, key, suspended=True)
    if not answered:
        raise SuspendFlowRun(pause.id)
    return _resumed(run, pause, wanted)


async def asuspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = HOUR,
    key: str | None = None,
) -> Any:
    """:func:`suspend_flow_run` for coroutines."""
    if flow_run_id is not None:
        return await asyncio.to_thread(request_suspension, current_fleet(), str(UUID(str(flow_run_id))), timeout)
    begun = await asyncio.to_thread(_begin, "suspended", wait_for_input, timeout, key, suspended=True)
    run, wanted, pause, answered = begun
    if not answered:
        raise SuspendFlowRun(pause.id)
    return await asyncio.to_thread(_resumed, run, pause, wanted)


def _begin(
    what: str, wait_for_input: Any, timeout: float | None, key: str | None, *, suspended: bool
) -> tuple[Any, Wanted | None, Pause, bool]:
    """The run, what it waits for, its pause, and whether that is over."""
    check_timeout(timeout)
    run: Any = current_flow_run.get()
    if run is None or current_attempt.get() is not None:
        raise RuntimeError(f"a flow run can only be {what} in the flow itself: not outside of one, and not in a task")
    if suspended and current_transaction.get() is not None:
        raise RuntimeError(
            "a flow run cannot be suspended in a transaction: it would be undone; do that before or after"
        )
    if suspended and not run.ticket:
        raise RuntimeError(
            "only a flow run that a worker runs can be suspended: serve or deploy the flow, or send it with .delay(); "
            "or use pause_flow_run(), which waits in this process"
        )
    fleet = current_fleet()
    run.pauses += 1
    name = key if key is not None else str(run.pauses)
    pause_id = pause_id_of(run.run_id, name)
    until = time.time() + (FOREVER_SECONDS if timeout is None else min(timeout, FOREVER_SECONDS))
    wanted = Wanted(wait_for_input) if wait_for_input is not None else None
    schema, description = (wanted.schema, wanted.description) if wanted is not None else (None, None)
    pause = Pause(pause_id, name, until, suspended, schema, description)
    if read_answer(fleet, run.run_id, pause_id)[0]:
        return run, wanted, pause, True
    begin(fleet, run.run_id, pause)
    if has_ended(fleet, pause_id):  # under an earlier delivery
        return run, wanted, pause, True
    if not suspended:
        run.note(Paused(message="waits to be resumed", flow_run_id=run.run_id))
        run.make_known()
    return run, wanted, pause, False


def _resumed(run: Any, pause: Pause, wanted: Wanted | None) -> Any:
    fleet = current_fleet()
    answered, given = read_answer(fleet, run.run_id, pause.id)
    if not answered:
        fleet.broker.runs.cancel([pause.id], "timed out")  # from here on nobody resumes it
        answered, given = read_answer(fleet, run.run_id, pause.id)
    if not answered:
        raise FlowPauseTimeout(f"nobody has resumed the flow run {run.name!r} in time")
    run.note(Running(flow_run_id=run.run_id))
    return wanted.read(given) if wanted is not None else None
