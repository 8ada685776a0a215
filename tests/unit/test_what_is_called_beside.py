"""Hooks, names, keys and conditions may raise anything: it costs what they were asked for, never the call."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import task
from orchestrator.errors import RunCancelled
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.drivers import run_attempt, run_attempt_async
from orchestrator.execution.interrupt import CancelRun
from orchestrator.execution.verdicts import Verdict
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import State
from orchestrator.tasks import Task


class Neither(BaseException):
    """Neither an Exception nor one that Python needs for itself."""


ERRORS: list[BaseException] = [
    RuntimeError("x"),
    StopIteration(1),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    Neither("x"),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
]


def one(x: int) -> float:
    return 1 / x


def beside(raises: Callable[..., Any]) -> dict[str, tuple[Task[..., Any], int]]:
    """Tasks that call it, each at another moment, and an argument with which they get there."""

    async def later(*args: Any) -> Any:
        await asyncio.sleep(0)
        return raises(*args)

    return {
        "on_running": (task(one, on_running=[raises]), 1),
        "on_completion": (task(one, on_completion=[raises]), 1),
        "on_completion, async": (task(one, on_completion=[later]), 1),
        "on_failure": (task(one, on_failure=[raises]), 0),
        "task_run_name": (task(one, task_run_name=lambda: raises()), 1),
        "cache_key_fn": (task(one, cache_key_fn=raises), 1),
        "retry_condition_fn": (task(one, retries=1, retry_condition_fn=raises), 0),
        "retry_condition_fn, async": (task(one, retries=1, retry_condition_fn=later), 0),
    }


def alone(attempt: Attempt) -> Verdict:
    return run_attempt(attempt)


def on_a_loop(attempt: Attempt) -> Verdict:
    return asyncio.run(run_attempt_async(attempt))


@pytest.mark.parametrize("driver", [alone, on_a_loop])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_fails_beside_the_function_does_not_change_its_end(
    error: BaseException, driver: Callable[[Attempt], Verdict]
) -> None:
    def raises(*args: Any) -> None:
        raise error

    for name, (made, x) in beside(raises).items():
        verdict = driver(Attempt(made, new_run_id(), (x,), {}, ticket="t"))
        assert isinstance(verdict, State), name
        assert (verdict.name, verdict.data if x else type(verdict.data)) == (
            ("Completed", 1.0) if x else ("Failed", ZeroDivisionError)
        ), name


def test_ctrl_c_and_a_cancellation_are_not_theirs_to_stop() -> None:
    for error in (KeyboardInterrupt(), CancelRun()):

        def raises(*args: Any, error: BaseException = error) -> None:
            raise error

        for made, x in beside(raises).values():
            with pytest.raises(type(error)):
                run_attempt(Attempt(made, new_run_id(), (x,), {}))


def test_a_function_that_raises_its_own_cancellation_fails_on_both_drivers() -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    for driver in (alone, on_a_loop):
        verdict = driver(Attempt(task(cancelled), new_run_id(), (), {}, ticket="t"))
        assert isinstance(verdict, State)
        assert verdict.is_failed()
        assert not isinstance(verdict.data, RunCancelled)
