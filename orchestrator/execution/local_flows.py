"""Runs of flows in the process that calls them, in its thread or on its event loop; see also flow_deliveries.py."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from orchestrator.execution import flow_steps
from orchestrator.execution.drivers import drive, drive_async
from orchestrator.execution.flow_run import FlowRun
from orchestrator.execution.flow_surroundings import around, inside
from orchestrator.execution.generators import Yielding
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.step import Step
from orchestrator.execution.termination import Terminated, sigterm_raises
from orchestrator.execution.verdicts import Retry, state_of_error
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import Cancelled, Completed, Failed, Running, State

if TYPE_CHECKING:
    from orchestrator.runnables.runnable import Runnable


def run_flow(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> State[Any]:
    """All attempts at a flow, in this thread."""
    with sigterm_raises(), around(run):
        run.note(Running(flow_run_id=run.run_id))
        state = drive(flow_steps.run_steps(run, args, kwargs), run)
    run.make_known()
    return state


async def run_flow_async(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> State[Any]:
    """All attempts at an async flow, on this event loop, which never waits for the store."""
    with sigterm_raises() as terminated, around(run, stop=False) as runner:
        try:
            await asyncio.to_thread(run.note, Running(flow_run_id=run.run_id))
            state = await drive_async(flow_steps.run_steps(run, args, kwargs), run)
        except BaseException as error:
            if not run.is_over:  # its asyncio task was cancelled
                how = flow_steps.stopped_by(Terminated() if terminated() else error)
                await drive_async(flow_steps.end_steps(run, how), run)
            await asyncio.shield(asyncio.to_thread(runner.stop, True))
            raise
        await _stopped(runner)
    await asyncio.to_thread(run.make_known)
    return state


async def _stopped(runner: Any) -> None:
    """The runner's calls are done. Whoever is interrupted meanwhile (Ctrl-C, SIGTERM, a timeout) cancels them."""
    stopping = asyncio.ensure_future(asyncio.to_thread(runner.stop))
    try:
        await asyncio.shield(stopping)
    except asyncio.CancelledError:
        await asyncio.shield(asyncio.to_thread(runner.stop, True))  # with which the other one ends, too
        raise


@contextmanager
def yielding(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Yielding]:
    """A flow whose function yields, ready to be gone through; its tasks' runner stops with the block."""

    def end(error: BaseException | None) -> Generator[Step, Any, State[Any] | float]:
        if isinstance(error, GeneratorExit):
            state: State[Any] = Cancelled(message="nobody asked for its further values")
        elif error is not None and not isinstance(error, Exception | CancelRun):
            state = flow_steps.stopped_by(error)
        else:
            state = Completed() if error is None else state_of_error(error)
        verdict = yield from flow_steps.conclude_steps(run, state)
        return verdict.delay_seconds if isinstance(verdict, Retry) else cast("State[Any]", verdict)

    run.task_runner.start()
    run.note(Running(flow_run_id=run.run_id))
    at_once = True
    try:
        yield Yielding(
            run,
            lambda: run.flow.fn(*args, **kwargs),
            run.flow.options.timeout_seconds,
            lambda: inside(run),
            lambda: flow_steps.begin_steps(run),
            end,
        )
        at_once = False
    except (Exception, GeneratorExit):
        at_once = False
        raise
    finally:
        run.task_runner.stop(at_once)
    run.make_known()


def refuse(flow: Runnable, error: Exception, parameters: dict[str, Any], runner: Any) -> State[Any]:
    """The end of a run whose parameters do not fit: Failed, hooks included."""
    run = FlowRun(flow, new_run_id(), parameters, runner, is_refused=True)
    return drive(flow_steps.end_steps(run, _state_of_refusal(error)), run)


async def refuse_async(flow: Runnable, error: Exception, parameters: dict[str, Any], runner: Any) -> State[Any]:
    """:func:`refuse` on an event loop."""
    run = FlowRun(flow, new_run_id(), parameters, runner, is_refused=True)
    return await drive_async(flow_steps.end_steps(run, _state_of_refusal(error)), run)


def _state_of_refusal(error: Exception) -> State[Any]:
    return Failed(message=f"{type(error).__name__}: {error}", data=error)
