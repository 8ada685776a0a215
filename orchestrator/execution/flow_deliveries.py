"""One attempt at a flow run, of a delivery that a worker got; the next one is another delivery.

The lease of the delivery is what says that the run goes on: whoever takes the delivery over goes on with the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchestratorError
from orchestrator.execution import flow_steps
from orchestrator.execution.drivers import drive, drive_async
from orchestrator.execution.flow_run import FlowRun
from orchestrator.execution.flow_surroundings import around
from orchestrator.states import Failed, State

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Attempt
    from orchestrator.runnables.runnable import Runnable

Begun = tuple[FlowRun, Sequence[Any], dict[str, Any]]


def run_delivered(attempt: Attempt) -> flow_steps.Verdict:
    """One attempt at a plain flow, in this thread."""
    run, args, kwargs = _begin(attempt)
    if run.refusal is not None:
        verdict: flow_steps.Verdict = drive(flow_steps.end_steps(run, run.refusal), run)
    else:
        with around(run):
            verdict = drive(flow_steps.attempt_steps(run, args, kwargs), run)
    run.make_known()
    return verdict


async def run_delivered_async(attempt: Attempt) -> flow_steps.Verdict:
    """One attempt at an async flow, on this event loop, which never waits for the store."""
    run, args, kwargs = _begin(attempt)
    if run.refusal is not None:
        verdict: flow_steps.Verdict = await drive_async(flow_steps.end_steps(run, run.refusal), run)
    else:
        with around(run, stop=False) as runner:
            try:
                verdict = await drive_async(flow_steps.attempt_steps(run, args, kwargs), run)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(runner.stop, True))
                raise
            finally:
                await asyncio.to_thread(runner.stop)
    await asyncio.to_thread(run.make_known)
    return verdict


def call_hooks(attempt: Attempt, state: State[Any]) -> None:
    """The hooks for this end of the flow run, in this thread: the process of this attempt could not call them."""
    run, _, _ = _begin(attempt)
    run.run_count, run.is_over = attempt.run_count, True
    with around(run):
        drive(flow_steps.hook_steps(run, state.copy(flow_run_id=run.run_id, run_count=run.run_count)), run)


def _begin(attempt: Attempt) -> Begun:
    attempt.started_at = time.time()
    call: Any = attempt.task
    flow: Runnable = call.flow
    hidden = call.hidden_arguments
    first, args, kwargs, error = attempt.args[:hidden], attempt.args[hidden:], attempt.kwargs, None
    try:
        if flow.options.validate_parameters:
            args, kwargs = flow.signature.validated(args, kwargs, defaults=True)
        parameters = flow.signature.parameters(args, kwargs)
    except OrchestratorError as misfit:
        error, parameters = misfit, flow.signature.given(args, kwargs)
    run = FlowRun(flow, attempt.run_id, parameters, call.new_runner(), delivery=attempt, is_refused=error is not None)
    if error is not None:
        run.refusal = Failed(message=f"{type(error).__name__}: {error}", data=error)
    attempt.name = run.name
    return run, (*first, *args), kwargs
