"""The two drivers of an attempt's steps, for threads and for event loops: all that differs between sync and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar
from weakref import WeakSet

from orchestrator.client.own_loop import run_to_its_end
from orchestrator.errors import TaskTimeout
from orchestrator.execution import forks
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.interrupt import CancelRun, soft_deadline
from orchestrator.execution.step import PLAIN, Driven, RaisedToClose, Step
from orchestrator.execution.task_steps import attempt_steps
from orchestrator.execution.verdicts import Verdict
from orchestrator.observability.run_logs import by_setting, logging_prints
from orchestrator.runs.current import current_attempt

T = TypeVar("T")


@contextmanager
def inside(attempt: Attempt) -> Iterator[None]:
    """What is true while the function of an attempt works."""
    token = current_attempt.set(attempt)
    try:
        wanted = attempt.log_prints if attempt.log_prints is not None else by_setting()
        with logging_prints(wanted) if wanted is not None else nullcontext():
            yield
    finally:
        current_attempt.reset(token)


def run_attempt(attempt: Attempt) -> Verdict:
    """Drive the steps in this thread. Awaitables (async hooks, async tasks) run in a loop of their own."""
    if (doors := attempt.task.doors) is not None:
        verdict: Verdict = doors.run(attempt)
        return verdict
    token = current_attempt.set(attempt)
    try:
        wanted = attempt.log_prints if attempt.log_prints is not None else by_setting()
        if wanted is None:
            return drive(attempt_steps(attempt), attempt)
        with logging_prints(wanted):
            return drive(attempt_steps(attempt), attempt)
    finally:
        current_attempt.reset(token)


def drive(steps: Generator[Step, Any, T], attempt: Driven) -> T:
    """Drive the steps of a run in this thread; what they come to."""
    try:
        step = next(steps)
        while True:
            try:
                value = _do(step, attempt)
            except BaseException as error:
                end_if_copied(attempt, error)
                step = steps.throw(RaisedToClose(error) if isinstance(error, GeneratorExit) else error)
            else:
                if forks.split_off:
                    end_if_copied(attempt, None)
                step = steps.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


def end_if_copied(attempt: Driven, error: BaseException | None) -> None:
    """The function has ended in a process that it has forked: what follows is its worker's to do."""
    if forks.split_off and attempt.ticket:
        forks.end(error)


def _do(step: Step, attempt: Driven) -> Any:
    if step.timeout_seconds is not None:
        with soft_deadline(step.timeout_seconds, attempt.what) as block:
            try:
                return _call(step)
            except TaskTimeout as error:
                # raised from another thread, it comes without its words
                raise (block.cause or error) from None
    return _call(step)


def _call(step: Step) -> Any:
    value = step.fn(*step.args, **step.kwargs) if step.kwargs else step.fn(*step.args)
    if value is None or type(value) in PLAIN:
        return value
    return run_to_its_end(value) if inspect.isawaitable(value) else value


async def run_attempt_async(attempt: Attempt) -> Verdict:
    """Drive the steps on the running event loop; steps that talk to a server go to a thread."""
    if (doors := attempt.task.doors) is not None:
        verdict: Verdict = await doors.run_async(attempt)
        return verdict
    token = current_attempt.set(attempt)
    try:
        wanted = attempt.log_prints if attempt.log_prints is not None else by_setting()
        with logging_prints(wanted) if wanted is not None else nullcontext():
            return await drive_async(attempt_steps(attempt), attempt)
    finally:
        current_attempt.reset(token)


async def drive_async(steps: Generator[Step, Any, T], attempt: Driven) -> T:
    """Drive the steps of a run on the running event loop; what they come to."""
    try:
        step = next(steps)
        while True:
            try:
                value = await _do_async(step, attempt)
            except asyncio.CancelledError as error:
                end_if_copied(attempt, error)
                if attempt_is_cancelled(attempt):
                    step = steps.throw(CancelRun())
                elif _is_being_cancelled() and not await _cancels_itself(attempt):
                    raise
                else:
                    step = steps.throw(error)  # the task's own, of something that it awaited
            except BaseException as error:
                end_if_copied(attempt, error)
                if isinstance(error, GeneratorExit) and not _runs():
                    raise
                step = steps.throw(RaisedToClose(error) if isinstance(error, GeneratorExit) else error)
            else:
                if forks.split_off:
                    end_if_copied(attempt, None)
                if attempt.ticket and _is_being_cancelled():
                    await _cancels_itself(attempt)
                step = steps.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


async def _cancels_itself(attempt: Driven) -> bool:
    """Whether a worker's call was cancelled by code of tasks: by itself, or by one that cancels all it can find.

    That is an end of the call like any other error: handed back, it would come and cancel again, for ever. Such a
    cancellation is over with that: what follows (hooks, the retry, storing the result) is not cancelled as well.
    """
    current = asyncio.current_task()
    if not attempt.ticket or current is None or attempt_is_cancelled(attempt) or _ends(asyncio.get_running_loop()):
        return False
    while current.cancelling():
        current.uncancel()
    with suppress(asyncio.CancelledError):  # asked for, and not delivered yet
        await asyncio.sleep(0)
    return True


ending_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""Loops that cancel what still runs on them, because their worker stops."""


def _ends(loop: asyncio.AbstractEventLoop) -> bool:
    return loop in ending_loops


def _runs() -> bool:
    """Whether a loop runs the coroutine around this line; if none does, it is being closed."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


cancelled_runs: set[str] = set()
"""Runs on event loops of this process that were asked to stop (a cancellation that is ours, not the loop's end)."""


def attempt_is_cancelled(attempt: Driven) -> bool:
    """Whether the cancellation that just arrived was meant for this run."""
    return attempt.run_id in cancelled_runs


async def _do_async(step: Step, attempt: Driven) -> Any:
    if step.on_loop is not None:
        return await step.on_loop(*step.args)
    if step.blocking:
        return await asyncio.to_thread(step.fn, *step.args, **(step.kwargs or {}))
    if step.timeout_seconds is None:
        return await _call_async(step)
    try:
        async with asyncio.timeout(step.timeout_seconds) as limit:
            return await _call_async(step)
    except TimeoutError:
        if limit.expired():
            raise TaskTimeout(f"{attempt.what} ran longer than {step.timeout_seconds:g} s") from None
        raise


async def _call_async(step: Step) -> Any:
    value = step.fn(*step.args, **step.kwargs) if step.kwargs else step.fn(*step.args)
    return await value if inspect.isawaitable(value) else value
