"""``t(x)``: a call that runs here and now, in the caller's thread, with everything the fleet would do for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from orchestrator.caching.result_cache import LocalCache
from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.errors import UpstreamTaskError
from orchestrator.execution.attempt import Attempt, Cache, RunServices
from orchestrator.execution.drivers import inside, run_attempt, run_attempt_async
from orchestrator.execution.generators import Yielding, async_values_of, values_of
from orchestrator.execution.step import Step
from orchestrator.execution.storing import outer_by_setting, storing_for
from orchestrator.execution.task_steps import begin_steps, end_steps
from orchestrator.execution.verdicts import Retry, Verdict, WaitForRun, retry_text, state_of_error
from orchestrator.futures import PrefectFuture
from orchestrator.observability.run_logs import Keep, logger_of
from orchestrator.pausing.kept_calls import kept_calls_here
from orchestrator.result_storage.choice import around
from orchestrator.runnables.annotations import allow_failure, opaque, quote
from orchestrator.runs.current import current_attempt, current_flow_run, current_tags
from orchestrator.runs.drawing import current_drawing
from orchestrator.runs.nested_values import replace_nested
from orchestrator.runs.run_ids import new_run_id
from orchestrator.runs.stored_result import StoredResult
from orchestrator.states import Cancelled, Completed, NotReady, State

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike

cache_here: Cache = LocalCache()


def call_here(
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    return_state: bool = False,
    wait_for: Iterable[Any] | None = None,
) -> Any:
    """Run a call in this thread; for an async task return a coroutine that runs it on the caller's loop."""
    drawing = current_drawing.get()
    if drawing is not None:
        return drawing.call(task, (args, kwargs, list(wait_for or ())))
    if task.isgenerator and not return_state and not _is_cached(task):
        return _values_async(task, args, kwargs, wait_for) if task.isasync else _values(task, args, kwargs, wait_for)
    if task.isasync:
        return _call_async(task, args, kwargs, return_state, wait_for)
    wait_for_all(futures_in((args, kwargs, list(wait_for or ()))), None)
    run_id = new_run_id()
    try:
        args, kwargs = with_results(args, kwargs, wait_for)
    except UpstreamTaskError as error:
        return _not_ready(run_id, error, return_state)
    kept = kept_calls_here()
    digest = kept.calling(task, args, kwargs) if kept is not None else None
    state = kept.end_of(digest) if kept is not None else None
    if state is None:
        state = run_here(attempt_for(task, run_id, args, kwargs))
        if kept is not None:
            kept.note_end(digest, state)
    return state if return_state else state.result()


async def _call_async(
    task: TaskLike,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    return_state: bool,
    wait_for: Iterable[Any] | None,
) -> Any:
    await _read_async(futures_in((args, kwargs, list(wait_for or ()))))
    run_id = new_run_id()
    try:
        args, kwargs = with_results(args, kwargs, wait_for)
    except UpstreamTaskError as error:
        return _not_ready(run_id, error, return_state)
    kept = kept_calls_here()
    digest = await asyncio.to_thread(kept.calling, task, args, kwargs) if kept is not None else None
    state = kept.end_of(digest) if kept is not None else None
    if state is None:
        state = await run_here_async(attempt_for(task, run_id, args, kwargs))
        if kept is not None:
            kept.note_end(digest, state)
    return state if return_state else await state.aresult()


async def _read_async(futures: list[PrefectFuture[Any]]) -> None:
    """Wait for them; results in files are read here, so that the loop need not wait for those afterwards."""
    await wait_async(futures)
    for future in futures:
        if type(future.state.data) is StoredResult:
            with suppress(Exception):  # raised where it is needed
                await future.state.aresult()


def _not_ready(run_id: str, error: UpstreamTaskError, return_state: bool) -> State[Any]:
    if return_state:
        return NotReady(message=str(error), data=error, task_run_id=run_id)
    raise error


def _is_cached(task: TaskLike) -> bool:
    return task.options.caching is not None or task.options.keeps_in_storage


# -- generators --------------------------------------------------------------------------------------------------


def _values(
    task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None
) -> Iterator[Any]:
    wait_for_all(futures_in((args, kwargs, list(wait_for or ()))), None)
    attempt = attempt_for(task, new_run_id(), *with_results(args, kwargs, wait_for))
    yield from values_of(_yielding(attempt))


async def _values_async(
    task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None
) -> AsyncIterator[Any]:
    await _read_async(futures_in((args, kwargs, list(wait_for or ()))))
    attempt = attempt_for(task, new_run_id(), *with_results(args, kwargs, wait_for))
    async for value in async_values_of(_yielding(attempt)):
        yield value


def _yielding(attempt: Attempt) -> Yielding:
    task = attempt.task

    def end(error: BaseException | None) -> Generator[Step, Any, State[Any] | float]:
        if isinstance(error, GeneratorExit):
            return Cancelled(message="nobody asked for its further values")
        verdict = yield from end_steps(attempt, Completed() if error is None else state_of_error(error))
        publish_verdict(attempt, verdict)
        return verdict if isinstance(verdict, State) else _prepare_next(attempt, verdict)

    return Yielding(
        attempt,
        lambda: task.fn(*attempt.args, **attempt.kwargs),
        attempt.options.timeout_seconds,
        lambda: inside(attempt),
        lambda: begin_steps(attempt),
        end,
    )


def attempt_for(task: TaskLike, run_id: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Attempt:
    """The first attempt of a call that is made in this process: it belongs to the flow and the task around it."""
    flow_run, parent = current_flow_run.get(), current_attempt.get()
    caching = _is_cached(task)
    attempt = Attempt(
        task,
        run_id,
        args,
        kwargs,
        flow_run_id=flow_run.run_id if flow_run else parent.flow_run_id if parent else None,
        parent_task_run_id=parent.run_id if parent else None,
        tags=sorted(task.options.tags | current_tags.get()),
        flow_parameters_hash=flow_run.parameters_hash() if flow_run and caching else None,
        services=RunServices(cache_here if caching else None, _keep_of(flow_run)),
        storing=storing_for(task, task.options, around(flow_run) or outer_by_setting()),
    )
    if isinstance(parent, Attempt):
        attempt.called_in = parent
    return attempt


def _keep_of(flow_run: Any) -> Keep | None:
    keep: Keep | None = flow_run.keep_log if flow_run is not None else None
    return keep


def run_here(attempt: Attempt) -> State[Any]:
    """All attempts at a call, in this thread; delays are slept."""
    while True:
        verdict = run_attempt(attempt)
        publish_verdict(attempt, verdict)
        if isinstance(verdict, State):
            return verdict.copy(task_run_id=attempt.run_id, run_count=attempt.run_count)
        time.sleep(_prepare_next(attempt, verdict))


async def run_here_async(attempt: Attempt) -> State[Any]:
    """All attempts at a call, on this event loop."""
    while True:
        verdict = await run_attempt_async(attempt)
        publish_verdict(attempt, verdict)
        if isinstance(verdict, State):
            return verdict.copy(task_run_id=attempt.run_id, run_count=attempt.run_count)
        await asyncio.sleep(_prepare_next(attempt, verdict))


def publish_verdict(attempt: Attempt, verdict: Verdict) -> None:
    """Log an attempt that failed; workers, which write a line for every state, do not need it."""
    if isinstance(verdict, Retry):
        logger_of(attempt).warning("%s", retry_text(attempt, verdict))
    elif isinstance(verdict, State) and (verdict.is_failed() or verdict.is_crashed()):
        logger_of(attempt).error("%s: %s", verdict.name, verdict.message)


def _prepare_next(attempt: Attempt, verdict: Verdict) -> float:
    if isinstance(verdict, Retry):
        attempt.retries += 1
        attempt.progress = None
        return verdict.delay_seconds
    assert isinstance(verdict, WaitForRun)
    return 0.1  # an identical call runs elsewhere: look again


def futures_in(value: Any) -> list[PrefectFuture[Any]]:
    """The futures inside a value: lists, dicts, dataclasses, models, allow_failure; any depth."""
    found: list[PrefectFuture[Any]] = []

    def note(part: Any) -> Any:
        if isinstance(part, PrefectFuture):
            found.append(part)
        elif isinstance(part, allow_failure | opaque):
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
        replace_nested(member, _check_completed)
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
    if isinstance(part, quote):
        return part.value
    if isinstance(part, opaque):
        return _result_of(part.value)
    return part


def _check_completed(part: Any) -> Any:
    """For what is waited for only: results in files are not read."""
    state = part.state if isinstance(part, PrefectFuture) else part
    if isinstance(state, State) and not state.is_completed():
        return _completed(state)
    return _check_completed(part.value) if isinstance(part, opaque) else part


def _result_or_error(part: Any) -> Any:
    state = part.state if isinstance(part, PrefectFuture) else part
    return state.result(raise_on_failure=False) if isinstance(state, State) else part


def _completed(state: State[Any]) -> Any:
    if state.is_completed():
        return state.outcome()
    raise UpstreamTaskError(f"upstream run {state.task_run_id} ended {state!r}", state.task_run_id)
