"""The two drivers of an attempt's steps, for threads and for event loops: all that differs between sync and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Any

from orchestrator.context import current_attempt
from orchestrator.engine import PLAIN, Attempt, Step, Steps, Verdict, attempt_steps
from orchestrator.errors import TaskTimeout
from orchestrator.interrupt import CancelRun, soft_deadline
from orchestrator.run_logs import logging_prints


def run_attempt(attempt: Attempt) -> Verdict:
    """Drive the steps in this thread. Awaitables (async hooks, async tasks) run in a loop of their own."""
    token = current_attempt.set(attempt)
    try:
        if not attempt.options.log_prints:
            return _drive(attempt_steps(attempt), attempt)
        with logging_prints():
            return _drive(attempt_steps(attempt), attempt)
    finally:
        current_attempt.reset(token)


def _drive(steps: Steps, attempt: Attempt) -> Verdict:
    try:
        step = next(steps)
        while True:
            try:
                value = _do(step, attempt)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict


def _do(step: Step, attempt: Attempt) -> Any:
    if step.timeout_seconds is not None:
        with soft_deadline(step.timeout_seconds, f"task {attempt.task.name}") as block:
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
    return _run_coroutine(value) if inspect.isawaitable(value) else value


def _run_coroutine(awaitable: Awaitable[Any]) -> Any:
    async def outer() -> Any:
        return await awaitable

    return asyncio.run(outer())


async def run_attempt_async(attempt: Attempt) -> Verdict:
    """Drive the steps on the running event loop; steps that talk to a server go to a thread."""
    token = current_attempt.set(attempt)
    try:
        with logging_prints() if attempt.options.log_prints else nullcontext():
            return await _drive_async(attempt_steps(attempt), attempt)
    finally:
        current_attempt.reset(token)


async def _drive_async(steps: Steps, attempt: Attempt) -> Verdict:
    try:
        step = next(steps)
        while True:
            try:
                value = await _do_async(step, attempt)
            except asyncio.CancelledError as error:
                if attempt_is_cancelled(attempt):
                    step = steps.throw(CancelRun())
                elif _is_being_cancelled():
                    raise
                else:
                    step = steps.throw(error)  # the task's own, of something that it awaited
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


cancelled_runs: set[str] = set()
"""Runs on event loops of this process that were asked to stop (a cancellation that is ours, not the loop's end)."""


def attempt_is_cancelled(attempt: Attempt) -> bool:
    """Whether the cancellation that just arrived was meant for this run."""
    return attempt.run_id in cancelled_runs


async def _do_async(step: Step, attempt: Attempt) -> Any:
    if step.blocking:
        return await asyncio.to_thread(step.fn, *step.args, **(step.kwargs or {}))
    if step.timeout_seconds is None:
        return await _call_async(step)
    try:
        async with asyncio.timeout(step.timeout_seconds) as limit:
            return await _call_async(step)
    except TimeoutError:
        if limit.expired():
            raise TaskTimeout(f"task {attempt.task.name} ran longer than {step.timeout_seconds:g} s") from None
        raise


async def _call_async(step: Step) -> Any:
    value = step.fn(*step.args, **step.kwargs) if step.kwargs else step.fn(*step.args)
    return await value if inspect.isawaitable(value) else value
