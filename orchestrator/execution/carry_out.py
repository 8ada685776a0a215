"""Carries out steps that belong to no run: in this thread, or on the event loop that runs here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from typing import Any

from orchestrator.client.own_loop import run_to_its_end
from orchestrator.execution.step import Step


def carry_out(steps: Generator[Step, Any, None]) -> None:
    """Carry out steps in this thread. Raises what they raise."""
    try:
        step = next(steps)
        while True:
            try:
                value = _do(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration:
        return


async def carry_out_async(steps: Generator[Step, Any, None]) -> None:
    """Carry out steps on the running event loop; those that talk to a server in a thread. Raises what they raise."""
    try:
        step = next(steps)
        while True:
            try:
                value = await _do_async(step)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration:
        return


def _do(step: Step) -> Any:
    value = step.fn(*step.args, **(step.kwargs or {}))
    return run_to_its_end(value) if inspect.isawaitable(value) else value


async def _do_async(step: Step) -> Any:
    if step.on_loop is not None:
        return await step.on_loop(*step.args)
    if step.blocking:
        return await asyncio.to_thread(step.fn, *step.args, **(step.kwargs or {}))
    value = step.fn(*step.args, **(step.kwargs or {}))
    return await value if inspect.isawaitable(value) else value
