"""Run ONE attempt at one call: the same steps for ``t(x)``, for local task runners and for workers.

The steps are a generator that yields what has to be done outside (call the function, a hook, the store) and gets the
result back; ``drivers.py`` does it, in a thread or on an event loop. Those of flow runs: ``flow_steps.py``.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.execution.attempt import Attempt
from orchestrator.execution.cache_steps import cache_key, caching_of, look_into_cache
from orchestrator.execution.recovery import recovery_steps
from orchestrator.execution.staging import begin_transaction, keep_steps
from orchestrator.execution.step import PLAIN, RaisedToClose, Step, call_hooks, goes_through, goes_through_from_beside
from orchestrator.execution.verdicts import Verdict, decide, policy_of, state_of_error
from orchestrator.futures import PrefectFuture
from orchestrator.runs.current import current_transaction
from orchestrator.states import Completed, Failed, Running, State, return_value_to_state

if TYPE_CHECKING:
    from orchestrator.cache_policies import CachePolicy

log = logging.getLogger("orchestrator.engine")
Steps = Generator[Step, Any, Verdict]


def attempt_steps(attempt: Attempt) -> Steps:
    """One attempt: look into the cache, call hooks and the function, decide what follows."""
    options = attempt.options
    attempt.started_at = time.time()
    if attempt.deliveries > 1 and (cancelled := (yield from recovery_steps(attempt))) is not None:
        return cancelled
    if options.task_run_name is not None and (nameless := attempt.give_name()) is not None:
        return state_of_error(nameless)
    storing = attempt.storing
    if storing is not None:
        ended = yield from storing.begin_steps(attempt)
        if ended is not None:
            return ended if ended.is_completed() else (yield from conclude(attempt, None, None, ended))
    key: str | None = None
    policy = caching_of(attempt)
    if policy is not None:
        key = cache_key(attempt, policy)
        found = yield from look_into_cache(attempt, policy, key)
        if found is not None:
            return found
    if options.on_running:
        yield from run_hooks(attempt, options.on_running, Running())
    if attempt.called_in is not None or current_transaction.get() is not None:
        yield from begin_transaction(attempt)
    state = yield from call_function(attempt, function_step(attempt))
    if storing is not None and state.is_completed():
        state = yield from storing.keep_steps(attempt, state)
    return (yield from conclude(attempt, policy, key, state))


def conclude(attempt: Attempt, policy: CachePolicy | None, key: str | None, state: State[Any]) -> Steps:
    """The function has ended: decide what follows, keep its result for the cache, call hooks."""
    options = attempt.options
    if options.retry_condition_fn is not None and state.is_failed():
        allowed = yield from may_retry(attempt, state)
    else:
        allowed = True
    verdict = state if state.is_completed() else decide(policy_of(options), state, attempt.retries, allowed)
    if policy is not None or attempt.transaction is not None or options.on_commit or options.on_rollback:
        yield from keep_steps(attempt, policy, key, verdict)
    if isinstance(verdict, State):
        verdict = yield from run_end_hooks(attempt, verdict)
    return verdict


def begin_steps(attempt: Attempt) -> Steps:
    """An attempt begins whose function is called elsewhere (a generator's): hooks."""
    state = Running()
    yield from run_hooks(attempt, attempt.options.on_running, state)
    yield from begin_transaction(attempt)
    return state


def end_steps(attempt: Attempt, state: State[Any]) -> Steps:
    """An attempt has ended whose function was called elsewhere: decide what follows, and call hooks."""
    return (yield from conclude(attempt, None, None, state))


def run_end_hooks(attempt: Attempt, state: State[Any]) -> Generator[Step, Any, State[Any]]:
    """Call the hooks for the end of a run; they are given the run and its state. Returns that state."""
    options = attempt.options
    hooks = options.on_completion if state.is_completed() else options.on_failure if state.is_failed() else ()
    if not hooks:
        return state
    state = state.copy(task_run_id=attempt.run_id, run_count=attempt.run_count)
    yield from run_hooks(attempt, hooks, state)
    return state


def function_step(attempt: Attempt) -> Step:
    """To call the user's function."""
    task = attempt.task
    fn: Callable[..., Any] = task.fn
    if task.isgenerator:
        fn = _collect_async(fn) if inspect.isasyncgenfunction(fn) else _collect(fn)
    return Step(fn, attempt.args, attempt.kwargs, False, attempt.options.timeout_seconds)


def call_function(attempt: Attempt, step: Step) -> Generator[Step, Any, State[Any]]:
    """Do the step that calls the user's function; whatever it does becomes a state."""
    try:
        value = yield step
        if value is None or type(value) in PLAIN:
            return Completed(data=value)
        futures = _futures_returned(value)
        if futures:  # the run ends as those do; it lends its place meanwhile
            yield Step(wait_for_all, (futures, None), on_loop=wait_async)
        state = return_value_to_state(value)
    except RaisedToClose as raised:
        return state_of_error(raised.error)
    except BaseException as error:  # sys.exit() and the like end the task, not the worker that runs it
        if goes_through(error, attempt):
            raise
        return state_of_error(error)
    return state if state.is_final() else Failed(message=f"the task returned {state!r}, which is not an end of a run")


def _futures_returned(value: Any) -> list[Any]:
    """The futures of a value that is one, or a collection of nothing but futures and states."""
    members = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    if not all(isinstance(member, PrefectFuture | State) for member in members):
        return []
    return [member for member in members if isinstance(member, PrefectFuture)]


def _collect(fn: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *args, **kwargs: list(fn(*args, **kwargs))


def _collect_async(fn: Callable[..., AsyncIterator[Any]]) -> Callable[..., Coroutine[Any, Any, list[Any]]]:
    async def collect(*args: Any, **kwargs: Any) -> list[Any]:
        return [value async for value in fn(*args, **kwargs)]

    return collect


def run_hooks(attempt: Attempt, hooks: Sequence[Callable[..., Any]], state: State[Any]) -> Generator[Step, Any, None]:
    """Call hooks of a task's run."""
    try:
        task_run = attempt.task_run(state)
    except BaseException as error:  # arguments that do not fit
        if goes_through_from_beside(error, attempt):
            raise
        log.exception("hooks of task %s were not called (run %s)", attempt.task.name, attempt.run_id)
        return
    yield from call_hooks(attempt, hooks, (attempt.task, task_run, state))


def may_retry(attempt: Attempt, state: State[Any]) -> Generator[Step, Any, bool]:
    """Ask the task's retry condition; one that raises means no."""
    condition = attempt.options.retry_condition_fn
    assert condition is not None
    try:
        return bool((yield Step(condition, (attempt.task, attempt.task_run(state), state))))
    except GeneratorExit:  # the steps are closed
        raise
    except BaseException as error:
        if goes_through_from_beside(error, attempt):
            raise
        log.exception("retry_condition_fn of task %s failed: no retry (run %s)", attempt.task.name, attempt.run_id)
        return False
