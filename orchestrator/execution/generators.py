"""Generator functions as tasks and flows that are called here: their values come when they are made.

What is true of the run (its context, its timeout) holds while the user's function works, not while the consumer does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from orchestrator.errors import TaskTimeout
from orchestrator.execution.drivers import drive, drive_async
from orchestrator.execution.interrupt import CancelRun, soft_deadline
from orchestrator.execution.step import Driven, Step
from orchestrator.states import State


class Yielding(NamedTuple):
    """A run whose function yields.

    ``inside`` makes true what is true while the function works; ``begin`` gives the steps before every attempt, and
    ``end`` those after it, from the error that ended it (``None``: it is through); they come to the seconds until the
    next one or the final State.
    """

    run: Driven
    call: Callable[[], Any]
    timeout_seconds: float | None
    inside: Callable[[], AbstractContextManager[Any]]
    begin: Callable[[], Generator[Step, Any, Any]]
    end: Callable[[BaseException | None], Generator[Step, Any, State[Any] | float]]


class _Budget:
    """The seconds that a function may work; the consumer's time does not count."""

    def __init__(self, run: Yielding) -> None:
        self._what, self._seconds, self._left = run.run.what, run.timeout_seconds, run.timeout_seconds

    def __enter__(self) -> float | None:
        if self._left is not None and self._left <= 0:
            raise self.spent()
        self._began = time.monotonic()
        return self._left

    def __exit__(self, *exc_info: object) -> None:
        if self._left is not None:
            self._left -= time.monotonic() - self._began

    def spent(self) -> TaskTimeout:
        """The error for too much time."""
        return TaskTimeout(f"{self._what} ran longer than {self._seconds:g} s")


def values_of(run: Yielding) -> Iterator[Any]:
    """What the function yields, over all attempts; its error if it fails for good."""
    while True:
        error: BaseException | None = None
        with run.inside():
            drive(run.begin(), run.run)
        values: Any = None
        try:
            budget = _Budget(run)
            values = _step(run, budget, run.call)
            value = _step(run, budget, lambda: next(values))  # noqa: B023
            while True:
                sent = yield value
                value = _step(run, budget, lambda: values.send(sent))  # noqa: B023
        except StopIteration:
            pass
        except GeneratorExit as left:
            with run.inside():
                values.close()
                drive(run.end(left), run.run)
            raise
        except BaseException as raised:
            error = raised
        with run.inside():
            ended = drive(run.end(error), run.run)
        if not isinstance(ended, State):
            time.sleep(ended)
            continue
        if error is not None and not isinstance(error, Exception | CancelRun):
            raise error
        ended.result()
        return


def _step(run: Yielding, budget: _Budget, work: Callable[[], Any]) -> Any:
    with run.inside(), budget as seconds:
        if seconds is None:
            return work()
        with soft_deadline(seconds, run.run.what):
            try:
                return work()
            except TaskTimeout:
                raise budget.spent() from None


async def async_values_of(run: Yielding) -> AsyncIterator[Any]:
    """:func:`values_of` for async generators."""
    while True:
        error: BaseException | None = None
        with run.inside():
            await drive_async(run.begin(), run.run)
        values: Any = None
        try:
            budget = _Budget(run)
            with run.inside():
                values = run.call()
            value = await _async_step(run, budget, lambda: anext(values))  # noqa: B023
            while True:
                sent = yield value
                value = await _async_step(run, budget, lambda: values.asend(sent))  # noqa: B023
        except StopAsyncIteration:
            pass
        except GeneratorExit as left:
            with run.inside():
                await values.aclose()
                await drive_async(run.end(left), run.run)
            raise
        except BaseException as raised:
            error = raised
        with run.inside():
            ended = await drive_async(run.end(error), run.run)
        if not isinstance(ended, State):
            await asyncio.sleep(ended)
            continue
        if error is not None and not isinstance(error, Exception | CancelRun):
            raise error
        ended.result()
        return


async def _async_step(run: Yielding, budget: _Budget, work: Callable[[], Any]) -> Any:
    with run.inside(), budget as seconds:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await work()
        except TimeoutError:
            if limit.expired():
                raise budget.spent() from None
            raise
