"""``t(x)``: a call that runs here and now, in the caller's thread, with everything the fleet would do for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.binding import allow_failure
from orchestrator.context import current_attempt, current_flow_run, current_tags
from orchestrator.drivers import run_attempt, run_attempt_async
from orchestrator.engine import Again, Attempt, Behind, Cache, Verdict
from orchestrator.errors import UpstreamTaskError
from orchestrator.futures import PrefectFuture
from orchestrator.ids import new_run_id
from orchestrator.nested import replace_nested
from orchestrator.result_cache import LocalCache
from orchestrator.run_logs import Keep
from orchestrator.states import State
from orchestrator.waiting import wait_async, wait_for_all

if TYPE_CHECKING:
    from orchestrator.tasks import Task

cache_here: Cache = LocalCache()


def call_here(
    task: Task[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    return_state: bool = False,
    wait_for: Iterable[Any] | None = None,
) -> Any:
    """Run a call in this thread; for an async task return a coroutine that runs it on the caller's loop."""
    if task.isasync:
        return _call_async(task, args, kwargs, return_state, wait_for)
    wait_for_all(futures_in((args, kwargs, list(wait_for or ()))), None)
    state = run_here(attempt_for(task, new_run_id(), *with_results(args, kwargs, wait_for)))
    return state if return_state else state.result()


async def _call_async(
    task: Task[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    return_state: bool,
    wait_for: Iterable[Any] | None,
) -> Any:
    await wait_async(futures_in((args, kwargs, list(wait_for or ()))))
    state = await run_here_async(attempt_for(task, new_run_id(), *with_results(args, kwargs, wait_for)))
    return state if return_state else state.result()


def attempt_for(task: Task[..., Any], run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Attempt:
    """The first attempt of a call that is made in this process: it belongs to the flow and the task around it."""
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    caching = task.options.caching is not None or task.options.persist_result
    return Attempt(
        task,
        run_id,
        args,
        kwargs,
        flow_run_id=flow_run.run_id if flow_run else parent.flow_run_id if parent else None,
        parent_task_run_id=parent.run_id if parent else None,
        tags=sorted(task.options.tags | current_tags.get()),
        flow_parameters_hash=flow_run.parameters_hash() if flow_run and caching else None,
        cache=cache_here if caching else None,
        keep_log=_keep_of(flow_run),
    )


def _keep_of(flow_run: Any) -> Keep | None:
    keep: Keep | None = flow_run.keep_log if flow_run is not None else None
    return keep


def run_here(attempt: Attempt) -> State[Any]:
    """All attempts at a call, in this thread; delays are slept."""
    while True:
        verdict = run_attempt(attempt)
        if isinstance(verdict, State):
            return verdict.copy(task_run_id=attempt.run_id, run_count=attempt.run_count)
        time.sleep(_prepare_next(attempt, verdict))


async def run_here_async(attempt: Attempt) -> State[Any]:
    """All attempts at a call, on this event loop."""
    while True:
        verdict = await run_attempt_async(attempt)
        if isinstance(verdict, State):
            return verdict.copy(task_run_id=attempt.run_id, run_count=attempt.run_count)
        await asyncio.sleep(_prepare_next(attempt, verdict))


def _prepare_next(attempt: Attempt, verdict: Verdict) -> float:
    if isinstance(verdict, Again):
        attempt.retries += 1
        attempt.progress = None
        return verdict.delay_seconds
    assert isinstance(verdict, Behind)
    return 0.1  # an identical call runs elsewhere: look again


def futures_in(value: Any) -> list[PrefectFuture[Any]]:
    """The futures inside a value: lists, dicts, dataclasses, models, allow_failure; any depth."""
    found: list[PrefectFuture[Any]] = []

    def note(part: Any) -> Any:
        if isinstance(part, PrefectFuture):
            found.append(part)
        elif isinstance(part, allow_failure):
            found.extend(futures_in(part.value))
        return part

    replace_nested(value, note)
    return found


def with_results(
    args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with settled futures and states replaced by their results.

    Raises:
        UpstreamTaskError: one did not complete and is not wrapped in ``allow_failure``.
    """
    for member in wait_for or ():
        _resolve(member)
    return [_resolve(value) for value in args], {name: _resolve(value) for name, value in kwargs.items()}


def _resolve(value: Any) -> Any:
    return replace_nested(value, _result_of)


def _result_of(part: Any) -> Any:
    if isinstance(part, PrefectFuture):
        return _completed(part.state)
    if isinstance(part, State):
        return _completed(part)
    if isinstance(part, allow_failure):
        return replace_nested(part.value, _result_or_error)
    return part


def _result_or_error(part: Any) -> Any:
    state = part.state if isinstance(part, PrefectFuture) else part
    return state.result(raise_on_failure=False) if isinstance(state, State) else part


def _completed(state: State[Any]) -> Any:
    if state.is_completed():
        return state.data
    raise UpstreamTaskError(f"upstream run {state.task_run_id} ended {state!r}", state.task_run_id)
