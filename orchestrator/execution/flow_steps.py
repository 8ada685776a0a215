"""The steps of a flow run: like those of a task's attempt, and the states of what it returned are summed up.

A flow that runs in the process that called it goes through all of its attempts in one go. One that was sent to a worker
goes through one attempt for each delivery, so that nothing waits for the next one in a slot.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.client.fleet import current_fleet
from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.errors import BrokerError
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.recovery import recovery_steps
from orchestrator.execution.returned import awaited, futures_returned, state_of_returned, wait_here
from orchestrator.execution.step import RaisedToClose, Step, call_hooks
from orchestrator.execution.termination import Terminated
from orchestrator.execution.verdicts import Retry, WaitForRun, decide, state_of_error
from orchestrator.pausing.signal import SuspendFlowRun
from orchestrator.runnables.retries import RetryPolicy
from orchestrator.states import AwaitingRetry, Cancelled, Crashed, Running, State, Suspended

if TYPE_CHECKING:
    from orchestrator.execution.flow_run import FlowRun

log = logging.getLogger("orchestrator.flow_runs")
ONCE: Final = RetryPolicy(0)
Verdict = State[Any] | Retry | WaitForRun


def run_steps(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Generator[Step, Any, State[Any]]:
    """All attempts, in the process that called the flow; a delay is waited for."""
    try:
        while True:
            verdict = yield from attempt_steps(run, args, kwargs)
            if isinstance(verdict, State):
                return verdict
            assert isinstance(verdict, Retry), "only runs of workers are suspended"
            yield Step(time.sleep, (verdict.delay_seconds,), on_loop=asyncio.sleep)
    except GeneratorExit:
        raise
    except BaseException as error:
        if not run.is_over:  # stopped between two attempts, or in a hook
            yield from end_steps(run, stopped_by(error))
        raise


def attempt_steps(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Generator[Step, Any, Verdict]:
    """One attempt: hooks, the function, and what follows."""
    refused = None
    if run.delivery is not None and run.delivery.deliveries > 1:
        refused = yield from recovery_steps(run)
    if refused is None and run.storing is not None:
        refused = yield from run.storing.begin_steps(run)
    if refused is not None:
        run.begin_attempt()
        return (yield from conclude_steps(run, refused))
    yield from begin_steps(run)
    try:
        state = yield from _call_function(run, args, kwargs)
        if run.storing is not None and state.is_completed():
            state = yield from run.storing.keep_steps(run, state)
    except SuspendFlowRun as suspended:
        return (yield from suspend_steps(run, suspended))
    return (yield from conclude_steps(run, state))


def suspend_steps(run: FlowRun, suspended: SuspendFlowRun) -> Generator[Step, Any, Verdict]:
    """The run is suspended: what it has done is kept, and it waits behind its pause without a process."""
    if run.kept_calls is None:
        return (
            yield from conclude_steps(run, state_of_error(RuntimeError("no worker could go on with this flow run")))
        )
    yield Step(run.kept_calls.write, (), None, True)
    state = Suspended(message="waits to be resumed", flow_run_id=run.run_id)
    yield Step(run.note, (state,), None, True)
    return WaitForRun(suspended.pause_id)


def begin_steps(run: FlowRun) -> Generator[Step, Any, None]:
    """An attempt begins: hooks."""
    run.begin_attempt()
    state = Running(flow_run_id=run.run_id)
    if run.ticket:  # the store was notified before the first attempt of a run in its caller's process
        yield Step(run.note, (state,), None, True)
    yield from _call_hooks(run, run.flow.options.on_running, state)


def conclude_steps(run: FlowRun, state: State[Any]) -> Generator[Step, Any, Verdict]:
    """An attempt has ended: another one follows, or that was the end of the run."""
    policy = run.flow.options.retry_policy or ONCE
    verdict = decide(policy, state, run.retries)
    if not isinstance(verdict, Retry):
        return (yield from end_steps(run, state))
    extra = {"run_id": run.run_id, "flow": run.flow.name, "flow_run_name": run.name}
    count = f"attempt {run.retries + 1} of {policy.retries + 1} failed"
    log.warning("%s, again in %g s: %s", count, verdict.delay_seconds, state.message, extra=extra)
    if run.ticket:
        waiting = AwaitingRetry(message=state.message, flow_run_id=run.run_id)
        yield Step(run.note, (waiting,), None, True)
    return verdict


def end_steps(run: FlowRun, state: State[Any]) -> Generator[Step, Any, State[Any]]:
    """The run has ended so: the store is notified, and hooks are called."""
    state = state.copy(flow_run_id=run.run_id, run_count=run.run_count)
    run.is_over = True
    yield Step(run.note, (state,), {"is_over": True}, True)
    if run.cancelled_with_it and (state.is_cancelled() or state.is_cancelling()):
        yield Step(_cancel_runs, (sorted(run.cancelled_with_it),), None, True)
    if state.is_completed() and run.parent is not None:
        run.parent.children.keep(run.flow, run.parameters, state)
    yield from hook_steps(run, state)
    return state


def hook_steps(run: FlowRun, state: State[Any]) -> Generator[Step, Any, None]:
    """The hooks for this end."""
    options = run.flow.options
    hooks = {
        "COMPLETED": options.on_completion,
        "FAILED": options.on_failure,
        "CANCELLED": options.on_cancellation,
        "CANCELLING": options.on_cancellation,
        "CRASHED": options.on_crashed,
    }.get(state.type.value, ())
    yield from _call_hooks(run, hooks, state)


def _cancel_runs(run_ids: list[str]) -> None:
    """Runs that were to be cancelled with this one."""
    try:
        current_fleet().cancel(run_ids)
    except BrokerError as error:
        log.warning("%d runs of deployments are not cancelled with their parent: %s", len(run_ids), error)


def stopped_by(error: BaseException | None) -> State[Any]:
    """How a flow ended that was stopped from outside."""
    if isinstance(error, CancelRun):
        return state_of_error(error)
    if isinstance(error, asyncio.CancelledError):
        return Cancelled(message="the flow's asyncio task was cancelled")
    what = "SIGTERM" if isinstance(error, Terminated) else type(error).__name__
    return Crashed(message=f"the flow was stopped by {what}", data=error)


def _call_function(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Generator[Step, Any, State[Any]]:
    """Call the user's function, and sum up what it returned; whatever it does becomes a state."""
    if run.name_error is not None:
        return state_of_error(run.name_error)
    call = _async_boxed if run.flow.isasync else _boxed
    try:
        (value,) = yield Step(call(run.flow.fn), args, kwargs, False, run.flow.options.timeout_seconds)
        if futures := futures_returned(value):
            yield Step(wait_for_all, (futures, None), on_loop=wait_async)
        return state_of_returned(value)
    except RaisedToClose as raised:
        return state_of_error(raised.error)
    except (Exception, CancelRun) as error:
        return state_of_error(error)
    except (GeneratorExit, SuspendFlowRun):
        raise
    except BaseException as error:  # sys.exit() ends the program that called the flow, not a worker that was sent it
        if run.ticket:
            return state_of_error(error)
        yield from end_steps(run, stopped_by(error))
        raise


def _boxed(fn: Callable[..., Any]) -> Callable[..., tuple[Any]]:
    """The function; its value in a box, so that a future that it returns is not awaited."""
    return lambda *args, **kwargs: (wait_here(fn(*args, **kwargs)),)


def _async_boxed(fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, tuple[Any]]]:
    async def call(*args: Any, **kwargs: Any) -> tuple[Any]:
        value = fn(*args, **kwargs)
        if hasattr(value, "__aiter__"):
            return ([part async for part in value],)
        return (await awaited(value),)

    return call


def _call_hooks(run: FlowRun, hooks: Sequence[Callable[..., Any]], state: State[Any]) -> Generator[Step, Any, None]:
    run.state = state
    yield from call_hooks(run, hooks, (run.flow, run, state))
