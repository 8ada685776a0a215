"""Run ONE attempt at one call: the same steps for ``t(x)``, for local task runners and for workers.

The steps are a generator that yields what has to be done outside (call the function, a hook, the store) and gets the
result back; ``drivers.py`` does it, in a thread or on an event loop.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.errors import TaskTimeout
from orchestrator.interrupt import CancelRun
from orchestrator.retries import RetryPolicy
from orchestrator.run_logs import Keep
from orchestrator.states import Cancelled, Completed, Failed, Running, State, TimedOut, return_value_to_state

if TYPE_CHECKING:
    from orchestrator.cache_policies import CachePolicy
    from orchestrator.options import TaskOptions
    from orchestrator.progress_notes import Progress
    from orchestrator.tasks import Task

log = logging.getLogger("orchestrator.engine")


class Cache(Protocol):
    """Where results are found again by key."""

    def get(self, key: str) -> tuple[bool, Any]:
        """Whether there is one, and which."""

    def put(self, key: str, value: Any, ttl_seconds: float | None) -> None:
        """Keep a result."""

    def claim(self, key: str, run_id: str) -> str:
        """The run that computes this key: ``run_id`` if nobody else does."""

    def release(self, key: str, run_id: str) -> None:
        """Let others compute it, if ``run_id`` is the run that does."""


class TaskRun(NamedTuple):
    """What hooks and conditions are told about a run. Follows Prefect's ``task_run``."""

    id: str
    name: str
    task_key: str
    run_count: int
    tags: tuple[str, ...]
    flow_run_id: str | None
    parent_task_run_id: str | None
    state: State[Any]
    parameters: dict[str, Any]


KeepProgress = Callable[[str, str, "Progress"], None]  # run, ticket of the attempt, how far it has come


class Attempt:
    """One attempt at one call; travels through the steps, and is what the running task can ask about itself."""

    __slots__ = (
        "_name",
        "args",
        "cache",
        "counted_at",
        "crashes",
        "deliveries",
        "flow_parameters_hash",
        "flow_run_id",
        "keep_log",
        "keep_progress",
        "kwargs",
        "options",
        "parent_task_run_id",
        "progress",
        "retries",
        "run_id",
        "started_at",
        "tags",
        "task",
        "ticket",
        "trace",
    )

    def __init__(
        self,
        task: Task[..., Any],
        run_id: str,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        retries: int = 0,
        crashes: int = 0,
        flow_run_id: str | None = None,
        parent_task_run_id: str | None = None,
        tags: Sequence[str] = (),
        flow_parameters_hash: str | None = None,
        cache: Cache | None = None,
        keep_log: Keep | None = None,
        keep_progress: KeepProgress | None = None,
        ticket: str = "",
        deliveries: int = 1,
        trace: list[Any] | None = None,
    ) -> None:
        self.task = task
        self.options = task.options
        self.run_id = run_id
        self.args = args
        self.kwargs = kwargs
        self.retries = retries
        self.crashes = crashes
        self.flow_run_id = flow_run_id
        self.parent_task_run_id = parent_task_run_id
        self.tags = tags
        self.flow_parameters_hash = flow_parameters_hash
        self.cache = cache
        self.keep_log = keep_log
        self.keep_progress = keep_progress
        self.progress: Progress | None = None
        self.ticket = ticket
        self.deliveries = deliveries  # how many workers have had it, this one included
        self.counted_at = 0  # where it is counted, see orchestrator.metrics.recording
        self.trace = trace  # of its sender, see orchestrator.tracing.sending
        self.started_at = 0.0
        self._name: str | None = None

    @property
    def run_count(self) -> int:
        """How often the run has been started, this time included."""
        return self.retries + self.crashes + 1

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments by parameter name."""
        return self.task.signature.parameters(self.args[self.task.hidden_arguments :], self.kwargs)

    @property
    def name(self) -> str:
        """The run's name for people."""
        if self._name is None:
            try:
                self._name = self._make_name()
            except Exception as error:
                self._name = f"{self.task.name}-{self.run_id[-3:]}"
                log.warning("task_run_name of task %s failed: %r (run %s)", self.task.name, error, self.run_id)
        return self._name

    def _make_name(self) -> str:
        template = self.options.task_run_name
        if isinstance(template, str):
            return template.format(**self.task.signature.masked(self.parameters))
        if template is not None:
            wants = inspect.signature(template).parameters
            return str(template(self.parameters) if len(wants) == 1 and "parameters" in wants else template())
        return f"{self.task.name}-{self.run_id[-3:]}"

    def task_run(self, state: State[Any]) -> TaskRun:
        """What hooks are told."""
        return TaskRun(
            self.run_id,
            self.name,
            self.task.task_key,
            self.run_count,
            tuple(self.tags),
            self.flow_run_id,
            self.parent_task_run_id,
            state,
            self.parameters,
        )


class Again(NamedTuple):
    """The attempt failed, and another one follows after a delay (seconds)."""

    delay_seconds: float
    state: State[Any]


class Behind(NamedTuple):
    """The same result is being computed by another run: wait for that one, then look again."""

    run_id: str


Verdict = State[Any] | Again | Behind


# -- pure decisions ----------------------------------------------------------------------------------------------


def state_of_error(error: BaseException, timeout_seconds: float | None = None) -> State[Any]:
    """The state of an attempt that ended with an exception."""
    if isinstance(error, CancelRun):
        return Cancelled(message=str(error), data=error.as_error())
    if isinstance(error, TaskTimeout):
        return TimedOut(message=str(error), data=error)
    return Failed(message=f"{type(error).__name__}: {_text_of(error)}", data=error)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it has no text: its __str__ failed)"


def decide(policy: RetryPolicy, state: State[Any], retries_so_far: int, allowed: bool = True) -> Verdict:
    """What follows an attempt that ended in ``state``: that state, or another attempt.

    >>> decide(RetryPolicy(1, (5,)), Failed(message="x"), 0).delay_seconds
    5.0
    >>> decide(RetryPolicy(1, (5,)), Failed(message="x"), 1)
    Failed('x')
    """
    if not state.is_failed() or not policy.allows(retries_so_far) or not allowed:
        return state
    return Again(policy.delay_before(retries_so_far), state)


def policy_of(options: TaskOptions) -> RetryPolicy:
    """The retry policy that applies: the task's, else the settings'."""
    if options.retry_policy is not None:
        return options.retry_policy
    from orchestrator.settings import current

    settings = current()
    return RetryPolicy(settings.task_default_retries, (settings.task_default_retry_delay_seconds,))


# -- the steps ---------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """Something to be done outside the generator."""

    fn: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] | None = None
    blocking: bool = False  # talks to a server: not on an event loop
    timeout_seconds: float | None = None


Steps = Generator[Step, Any, Verdict]


def attempt_steps(attempt: Attempt) -> Steps:
    """One attempt: look into the cache, call hooks and the function, decide what follows."""
    options = attempt.options
    attempt.started_at = time.time()
    key: str | None = None
    policy = caching_of(attempt)
    if policy is not None:
        key = cache_key(attempt, policy)
        found = yield from look_into_cache(attempt, policy, key)
        if found is not None:
            return found
    if options.on_running:
        yield from run_hooks(attempt, options.on_running, Running())
    state = yield from call_function(attempt)
    if options.retry_condition_fn is not None and state.is_failed():
        allowed = yield from may_retry(attempt, state)
    else:
        allowed = True
    verdict = state if state.is_completed() else decide(policy_of(options), state, attempt.retries, allowed)
    if policy is not None and key is not None:
        yield from write_to_cache(attempt, policy, key, verdict)
    if isinstance(verdict, State):
        hooks = options.on_completion if verdict.is_completed() else options.on_failure if verdict.is_failed() else ()
        if hooks:
            yield from run_hooks(attempt, hooks, verdict)
    return verdict


def call_function(attempt: Attempt) -> Generator[Step, Any, State[Any]]:
    """Call the user's function; whatever it does becomes a state."""
    task = attempt.task
    fn: Callable[..., Any] = task.fn
    if task.isgenerator:
        fn = _collect_async(fn) if inspect.isasyncgenfunction(fn) else _collect(fn)
    try:
        value = yield Step(fn, attempt.args, attempt.kwargs, False, attempt.options.timeout_seconds)
        if value is None or type(value) in PLAIN:
            return Completed(data=value)
        state = return_value_to_state(value)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # sys.exit() and the like end the task, not the worker that runs it
        return state_of_error(error)
    return state if state.is_final() else Failed(message=f"the task returned {state!r}, which is not an end of a run")


PLAIN = frozenset((int, str, float, bool, bytes, dict))  # neither states nor awaitables, and most of what tasks return


def _collect(fn: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *args, **kwargs: list(fn(*args, **kwargs))


def _collect_async(fn: Callable[..., AsyncIterator[Any]]) -> Callable[..., Coroutine[Any, Any, list[Any]]]:
    async def collect(*args: Any, **kwargs: Any) -> list[Any]:
        return [value async for value in fn(*args, **kwargs)]

    return collect


def run_hooks(attempt: Attempt, hooks: Sequence[Callable[..., Any]], state: State[Any]) -> Generator[Step, Any, None]:
    """Call hooks; an error in one is logged and changes nothing."""
    try:
        told = attempt.task_run(state)
    except (Exception, SystemExit):  # arguments that do not fit
        log.exception("hooks of task %s were not called (run %s)", attempt.task.name, attempt.run_id)
        return
    for hook in hooks:
        try:
            yield Step(hook, (attempt.task, told, state))
        except (Exception, SystemExit):
            name = getattr(hook, "__name__", repr(hook))
            log.exception("hook %s of task %s failed (run %s)", name, attempt.task.name, attempt.run_id)


def may_retry(attempt: Attempt, state: State[Any]) -> Generator[Step, Any, bool]:
    """Ask the task's retry condition; one that raises means no."""
    condition = attempt.options.retry_condition_fn
    assert condition is not None
    try:
        return bool((yield Step(condition, (attempt.task, attempt.task_run(state), state))))
    except (Exception, SystemExit):
        log.exception("retry_condition_fn of task %s failed: no retry (run %s)", attempt.task.name, attempt.run_id)
        return False


# -- caching -----------------------------------------------------------------------------------------------------


def caching_of(attempt: Attempt) -> CachePolicy | None:
    """The policy that applies; ``persist_result=True`` alone means the default policy, as in Prefect."""
    options = attempt.options
    if options.cache_policy is None and options.cache_key_fn is None:
        if not options.persist_result:
            return None
        from orchestrator.cache_policies import DEFAULT

        return DEFAULT
    return None if options.persist_result is False else options.caching


def cache_key(attempt: Attempt, policy: CachePolicy) -> str | None:
    """The key of this call, ``None`` for none; an argument without stable content means none (logged)."""
    try:
        flow_parameters = {"#": attempt.flow_parameters_hash} if attempt.flow_parameters_hash else {}
        return policy.compute_key(attempt, attempt.parameters, flow_parameters)
    except Exception as error:
        log.warning("task %s is not cached this time: %s (run %s)", attempt.task.name, error, attempt.run_id)
        return None


def look_into_cache(attempt: Attempt, policy: CachePolicy, key: str | None) -> Generator[Step, Any, Verdict | None]:
    """A Cached state for a hit; Behind when an identical call is running and the policy wants only one."""
    if key is None or attempt.cache is None or attempt.options.refresh_cache:
        return None
    hit, value = yield Step(attempt.cache.get, (key,), None, True)
    if hit:
        return Completed(name="Cached", message="found in the cache", data=value)
    if policy.isolation == "serializable":
        holder = yield Step(attempt.cache.claim, (key, attempt.run_id), None, True)
        if holder != attempt.run_id:
            return Behind(holder)
        hit, value = yield Step(attempt.cache.get, (key,), None, True)  # it may have been put between the two
        if hit:
            yield Step(attempt.cache.release, (key, attempt.run_id), None, True)
            return Completed(name="Cached", message="found in the cache", data=value)
    return None


def write_to_cache(attempt: Attempt, policy: CachePolicy, key: str, verdict: Verdict) -> Generator[Step, Any, None]:
    """Keep the result of a Completed attempt; failures are not cached. A cache that fails costs only the hit."""
    cache = attempt.cache
    if cache is None:
        return
    try:
        if isinstance(verdict, State) and verdict.is_completed():
            expiration = attempt.options.cache_expiration
            seconds = expiration.total_seconds() if isinstance(expiration, timedelta) else None
            yield Step(cache.put, (key, verdict.data, seconds), None, True)
        if policy.isolation == "serializable" and isinstance(verdict, State) and not attempt.options.refresh_cache:
            yield Step(cache.release, (key, attempt.run_id), None, True)
    except Exception as error:
        log.warning("the result of task %s was not cached: %s (run %s)", attempt.task.name, error, attempt.run_id)


__all__ = ["Again", "Attempt", "Behind", "TaskRun", "Verdict", "decide"]
