"""Options of flows: parameters, retries, timeouts, hooks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import State, flow
from orchestrator.errors import ParameterBindError, ParameterTypeError, TaskTimeout
from orchestrator.runtime import flow_run
from orchestrator.states import Cancelled, Failed
from tests.support import signals
from tests.support.apps import basics

APP = "tests.support.apps.basics"
THREADS = 2
pytestmark = pytest.mark.usefixtures("worker")


def test_parameters_are_checked_and_converted() -> None:
    @flow
    def typed(count: int, names: list[str] | None = None) -> tuple[Any, Any]:
        return count, names

    @flow(validate_parameters=False)
    def untyped(count: int) -> Any:
        return count

    assert typed("3", names=("a", "b")) == (3, ["a", "b"])
    assert untyped("3") == "3"
    with pytest.raises(ParameterTypeError, match="'count'"):
        typed("many")
    with pytest.raises(ParameterBindError, match="missing"):
        typed()
    assert typed("many", return_state=True).is_failed()


def test_flows_are_retried(tmp_path: Path) -> None:
    sign = str(tmp_path / "sign")

    @flow(retries=2, retry_delay_seconds=0.01)
    def flaky(good_at: int) -> Any:
        signals.give(sign)
        if signals.count(sign) < good_at:
            raise ValueError(signals.count(sign))
        return flow_run.run_count

    assert flaky(3) == 3
    state = flaky.with_options(retries=0)(99, return_state=True)
    assert (state.is_failed(), state.run_count) == (True, 1)


def test_a_flow_that_runs_too_long_is_ended() -> None:
    import time

    @flow(timeout_seconds=0.1)
    def slow() -> None:
        time.sleep(30)

    @flow(timeout_seconds=0.1)
    async def slow_async() -> None:
        await asyncio.sleep(30)

    @flow(timeout_seconds=0.2)
    def waits_for_a_task() -> None:
        basics.add.apply_async((1,), countdown=60).result()

    with pytest.raises(TaskTimeout, match=r"slow ran longer than 0\.1 s"):
        slow()
    assert slow(return_state=True).name == "TimedOut"
    with pytest.raises(TaskTimeout):
        asyncio.run(slow_async())
    with pytest.raises(TaskTimeout):
        waits_for_a_task()


def test_hooks_of_flows() -> None:
    told: list[str] = []

    def note(what: str) -> Any:
        return lambda flow, run, state: told.append(f"{what} {flow.name} {run.name} {state.name}")

    def broken(flow: Any, run: Any, state: Any) -> None:
        raise RuntimeError("a broken hook")

    async def asynchronous(flow: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        told.append("async")

    @flow(
        flow_run_name="of {kind}",
        on_running=[note("running")],
        on_completion=[broken, note("completion"), asynchronous],
        on_failure=[note("failure")],
        on_cancellation=[note("cancellation")],
        on_crashed=[note("crash")],
    )
    def hooked(kind: str) -> Any:
        if kind == "interrupt":
            raise KeyboardInterrupt
        return {"good": 1, "bad": Failed(), "cancelled": Cancelled()}[kind]

    for kind in ("good", "bad", "cancelled"):
        hooked(kind, return_state=True)
    with pytest.raises(KeyboardInterrupt):
        hooked("interrupt")
    assert told == [
        "running hooked of good Running",
        "completion hooked of good Completed",
        "async",
        "running hooked of bad Running",
        "failure hooked of bad Failed",
        "running hooked of cancelled Running",
        "cancellation hooked of cancelled Cancelled",
        "running hooked of interrupt Running",
        "crash hooked of interrupt Crashed",
    ]

    @flow
    def later() -> int:
        return 1

    @later.on_completion
    def decorated(flow: Any, run: Any, state: State[Any]) -> None:
        told.append("decorated")

    later()
    assert told[-1] == "decorated"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"colour": "red"}, "no option 'colour'"),
        ({"timeout_seconds": -1}, "timeout_seconds=-1"),
        ({"retries": -1}, "retries"),
        ({"task_runner": 5}, "task_runner=5"),
        ({"on_failure": ["x"]}, "on_failure"),
    ],
)
def test_options_that_are_wrong_are_refused_at_decoration(options: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        flow(**options)(lambda: None)
