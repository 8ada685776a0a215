"""What holds of a task's run holds of a flow's: retries, timeouts, hooks, names and errors are the same code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import flow, task
from orchestrator.execution.flow_run import FlowRun
from orchestrator.states import State
from orchestrator.task_runners import ThreadPoolTaskRunner

DECORATORS = pytest.mark.parametrize("decorator", [task, flow])


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@DECORATORS
def test_an_error_without_a_text_is_an_end_like_any_other(decorator: Callable[..., Any]) -> None:
    @decorator
    def fails() -> None:
        raise Mute

    state = fails(return_state=True)
    assert state.is_failed()
    assert "its __str__ failed" in state.message


@DECORATORS
def test_a_hook_that_exits_changes_nothing(decorator: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def leaves(_: Any, __: Any, state: State[Any]) -> None:
        raise SystemExit(3)

    @decorator(on_completion=[leaves, lambda _, __, state: told.append(state.name)])
    def one() -> int:
        return 1

    assert one() == 1
    assert told == ["Completed"]
    assert "hook leaves of" in caplog.text


@pytest.mark.parametrize(("decorator", "option"), [(task, "task_run_name"), (flow, "flow_run_name")])
def test_a_name_that_cannot_be_made_costs_the_name_only(decorator: Callable[..., Any], option: str) -> None:
    @decorator(**{option: "of {nobody}"})
    def one() -> int:
        return 1

    assert one() == 1


@pytest.mark.parametrize(("decorator", "option"), [(task, "task_run_name"), (flow, "flow_run_name")])
def test_a_name_that_is_no_text_fails_the_run(decorator: Callable[..., Any], option: str) -> None:
    @decorator(**{option: lambda: 5})
    def one() -> int:
        return 1

    state = one(return_state=True)
    assert state.is_failed()
    assert "a name must be text" in state.message


@DECORATORS
def test_async_hooks_run_on_the_loop_of_their_run(decorator: Callable[..., Any]) -> None:
    loops: list[object] = []

    async def hook(*_: Any) -> None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    @decorator(on_running=[hook], on_completion=[hook])
    async def one() -> object:
        return asyncio.get_running_loop()

    state = asyncio.run(one(return_state=True))
    assert loops == [state.data, state.data]


def test_an_async_flow_never_tells_the_store_on_its_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[threading.Thread] = []
    note = FlowRun.note

    def noted(run: FlowRun, *args: Any, **kwargs: Any) -> None:
        where.append(threading.current_thread())
        note(run, *args, **kwargs)

    monkeypatch.setattr(FlowRun, "note", noted)

    @flow(retries=1, task_runner=ThreadPoolTaskRunner)
    async def fails() -> None:
        raise ValueError("again")

    asyncio.run(fails(return_state=True))
    assert len(where) == 2  # it began, and it ended
    assert threading.main_thread() not in where
