"""``@task``: a function that can be called here, submitted, mapped, or left to a worker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Self, TypeVar, overload

from orchestrator.cache_policies import CachePolicy, task_input_hash
from orchestrator.runnables import registry
from orchestrator.runnables.binding import Signature
from orchestrator.runnables.functions import name_of
from orchestrator.runnables.identity import key_of, script_of
from orchestrator.runnables.options import Hook, TaskOptions
from orchestrator.runnables.retries import exponential_backoff
from orchestrator.runnables.runnable import Runnable
from orchestrator.runnables.sameness import Identity
from orchestrator.runnables.servable_task import ServableTask
from orchestrator.runs.current import current_transaction
from orchestrator.runs.drawing import current_drawing
from orchestrator.scheduling.schedulable import Schedulable
from orchestrator.states import State

if TYPE_CHECKING:
    from orchestrator.execution.attempt import Doors
    from orchestrator.futures import PrefectFuture, PrefectFutureList
    from orchestrator.runnables.binding import Rows

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Task(Runnable, Schedulable, ServableTask, Generic[P, R]):
    """A function with options. Made by :func:`task`. Every option is an attribute, too: ``my_task.retries``.

    Attributes:
        fn: the plain function.
        options: the frozen options.
        task_key: the name under which a worker knows it, ``module.qualname`` (more for lambdas and closures).
        identity: what it was made of; its copies with other options share it.
    """

    noun = "task"
    doors: Doors | None = None  # what runs an attempt, if not the steps of a task's; of flows
    options_type = TaskOptions
    options: TaskOptions
    fn: Callable[P, R]

    def __init__(
        self, fn: Callable[P, R], options: TaskOptions | None = None, *, task_key: str | None = None, **more: Any
    ) -> None:
        if isinstance(fn, Task):
            raise TypeError(f"{fn!r} is a task already: use with_options() to change it")
        super().__init__(fn, options, more)
        plain = self.fn
        self.task_key = task_key or key_of(plain, self.given_name)
        self.identity = Identity(plain, self._kind, self.options)
        self.script = script_of(plain)  # the mark of the running script, if it is a task of that
        self.owner: type | None = None
        self.binds_class = self._kind == "classmethod"
        self.frames: dict[tuple[bool, bool], Any] = {}  # of plain calls, see submission/envelopes.py
        registry.add(self)

    @staticmethod
    def default_name(fn: Callable[..., Any]) -> str:
        """The function's name."""
        return name_of(fn)

    def __repr__(self) -> str:
        return f"<Task {self.task_key}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner

    @property
    def hidden_arguments(self) -> int:
        """How many leading arguments the signature leaves out: a bound ``self``, or ``cls``."""
        return 1 if self.binds_class else len(self.bound)

    def _copy(self) -> Self:
        copy = super()._copy()
        copy.frames = {}
        return copy

    def arguments(self, args: Iterable[Any], kwargs: dict[str, Any], *, sent: bool = False) -> tuple[Any, ...]:
        """The positional arguments of the function, a bound ``self`` or ``cls`` included.

        Args:
            args, kwargs: as they were given; converted, if the task validates its parameters.
            sent: they are checked only: the worker converts them, and a validator would run twice.

        Raises:
            ParameterBindError: the function cannot be called so.
            ParameterTypeError: the task validates its parameters, and one does not fit.
        """
        args = tuple(args)
        self.signature.check(args, kwargs)
        if self.options.validate_parameters and current_drawing.get() is None:
            valid, named = self.signature.validated(args, kwargs, keep=sent)
            args = tuple(valid)
            kwargs.update(named)
        return (*self.bound, *args)

    def on_commit(self, fn: Hook) -> Hook:
        """Call ``fn(transaction)`` when the transaction is committed in which a run completed."""
        return self._add_hook("on_commit", fn)

    def on_rollback(self, fn: Hook) -> Hook:
        """Call ``fn(transaction)`` when the transaction is rolled back in which a run completed: undo what it did."""
        return self._add_hook("on_rollback", fn)

    def _add_hook(self, name: str, fn: Hook) -> Hook:
        self.frames.clear()
        return super()._add_hook(name, fn)

    # -- calling -------------------------------------------------------------------------------------------------

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> R: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run here and now, in this thread (an async task: a coroutine), with retries, caching, timeout and hooks.

        A generator function gives a generator, which runs as far as it is gone through.

        Needs no broker, unless the task is cached: the cache lives in the store.

        Args:
            return_state: give the final State instead of the result; nothing is raised then.
            wait_for: runs that must have completed before.

        Raises:
            ParameterBindError: the arguments do not fit.
            BaseException: what the function raised.
        """
        from orchestrator.execution.inline import call_here

        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        return call_here(self, self.arguments(args, kwargs), kwargs, return_state=return_state, wait_for=wait_for)

    @overload
    def submit(  # type: ignore[overload-overlap]
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> PrefectFuture[T]: ...
    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[R]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State[R]: ...
    @overload
    def submit(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> PrefectFuture[R]: ...

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Have it run elsewhere: in a flow by the flow's task runner, else by the fleet. Never blocks on the work.

        Futures anywhere inside the arguments are dependencies: the call starts when they have completed.

        Args:
            return_state: wait, and give the final State.
            wait_for: further runs that must have completed before.

        Returns:
            A handle on the run.

        Raises:
            ParameterBindError, SerializationError, PayloadTooLarge: nothing was sent.
            BrokerError: outside a flow. In a flow calls are sent within about a millisecond, and a call that cannot
                be sent has a Crashed handle.
        """
        from orchestrator.task_runners.choice import goes_away, note_sent, runner_here, to_be_sent

        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        runner = runner_here()
        sent = self if current_transaction.get() is None else to_be_sent(self, runner)
        future = runner.submit(sent, self.arguments(args, kwargs, sent=goes_away(runner)), kwargs, wait_for)
        if current_transaction.get() is not None:
            note_sent(self, runner, [future])
        if return_state:
            future.wait()
            return future.state
        return future

    async def asubmit(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`submit` for event loops: never blocks the loop; confirmed when it returns (ours)."""
        from orchestrator.submission.send import asend_call
        from orchestrator.task_runners.choice import note_sent, runner_here, to_be_sent
        from orchestrator.task_runners.fleet_runner import FleetTaskRunner

        runner = runner_here()
        if not isinstance(runner, FleetTaskRunner):  # the flow's calls run in this process: nothing is sent
            future = runner.submit(self, self.arguments(args, kwargs), kwargs, wait_for)
        else:
            given = self.arguments(args, kwargs, sent=True)
            sent = self if current_transaction.get() is None else to_be_sent(self, runner)
            future = await asend_call(sent, given, kwargs, wait_for=wait_for, watched=True)
        if current_transaction.get() is not None:
            note_sent(self, runner, [future])
        return future

    @overload
    def map(
        self: Task[P, Coroutine[Any, Any, T]], *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> PrefectFutureList[T]: ...
    @overload
    def map(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> list[State[R]]: ...
    @overload
    def map(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> PrefectFutureList[R]: ...

    def map(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Iterable[Any] | None = None,
        deferred: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """One call for each element: every iterable argument is zipped, ``unmapped(x)`` and other values are constant.

        A future, a state, or the list of another map is resolved, then mapped: the list that is returned then waits for
        it when it is asked for its members. On the fleet a worker makes the calls when it has ended; this process need
        not wait for it, or live so long. ``unmapped(future)`` is the same result for each call.

        Args:
            return_state: wait, and give the final States.
            wait_for: runs that must have completed before all of them.
            deferred: for the workers of the fleet, also in a flow that runs its tasks itself, as ``delay`` does;
                returns once all calls are queued.

        Returns:
            The handles in input order; an empty list for empty iterables. If what is mapped did not complete, one
            handle, which is NotReady.

        Raises:
            MappingMissingIterable, MappingLengthMismatch: see :func:`orchestrator.runnables.binding.mapped_arguments`.
        """
        from orchestrator.submission.deferred import is_deferred
        from orchestrator.task_runners.choice import goes_away, map_deferred, note_sent, runner_of_map, to_be_sent

        if deferred is not None and "deferred" in self.signature.full.parameters:  # the function's own
            kwargs["deferred"], deferred = deferred, None
        runner = runner_of_map(deferred)
        sent = self if current_transaction.get() is None else to_be_sent(self, runner)
        if any(map(is_deferred, args)) or any(map(is_deferred, kwargs.values())):
            futures = map_deferred(runner, sent, args, kwargs, wait_for)
        else:
            futures = runner.map(sent, self.rows(args, kwargs, sent=goes_away(runner)), wait_for)
        if current_transaction.get() is not None:
            note_sent(self, runner, futures)
        if return_state:
            futures.wait()
            return futures.states
        return futures

    def rows(self, args: Sequence[Any], kwargs: dict[str, Any], *, sent: bool = False) -> Rows:
        """The arguments of each call of a map; ``sent`` as for :meth:`arguments`. Raises as :meth:`map` does."""
        from orchestrator.runnables.binding import Rows, mapped_arguments

        given = mapped_arguments(self.signature, args, kwargs)
        return Rows(len(given), lambda: ((self.arguments(row, named, sent=sent), named) for row, named in given))

    @overload
    def delay(self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[T]: ...
    @overload
    def delay(self, *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[R]: ...

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Fire and forget: returns once the call is durably queued, inside or outside a flow.

        Raises:
            BrokerUnavailable: within 2 seconds, when the server is not there. Nothing was sent, unless the message says
                that the reply was lost: then the call may be queued, under the id in the error's
                ``doubtful_run_ids``. Give an ``idempotency_key`` (``apply_async``) to repeat it safely.
        """
        from orchestrator.submission.send import send_call

        return send_call(self, self.arguments(args, kwargs, sent=True), kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`delay` for event loops: never blocks the loop; concurrent callers share round trips (ours)."""
        from orchestrator.submission.send import asend_call

        return await asend_call(self, self.arguments(args, kwargs, sent=True), kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        wait_for: Iterable[Any] | None = None,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        expires: float | timedelta | datetime | None = None,
        priority: str | None = None,
        queue: str | None = None,
        idempotency_key: str | None = None,
    ) -> PrefectFuture[Any]:
        """:meth:`delay` with options of the call (Celery's names).

        Args:
            args, kwargs: the function's arguments.
            wait_for: runs that must have completed before.
            countdown: seconds to wait before it is queued. At most one of countdown and eta.
            eta: the (aware) moment before which it is not queued.
            expires: seconds from now, or a moment: not started by then, it is Cancelled (named Expired).
            priority: "high", "default" or "low".
            queue: another queue than the task's.
            idempotency_key: a call with a key that was used before (within the time results are kept) is not made
                again; the handle is on the first run.

        Raises:
            ValueError: an option is wrong. See also :meth:`delay`.
        """
        from orchestrator.submission.call_options import CallOptions
        from orchestrator.submission.send import send_call

        options = CallOptions.checked(countdown, eta, expires, priority, queue, idempotency_key)
        kwargs = kwargs or {}
        given = self.arguments(args, kwargs, sent=True)
        return send_call(self, given, kwargs, wait_for=wait_for, options=options)

    def __reduce__(self) -> Any:
        registry.check(self)
        if self.overrides or self.bound:
            return _rebuilt, (self.task_key, self.overrides, self.bound)
        return registry.find, (self.task_key,)


def _rebuilt(key: str, overrides: dict[str, Any], bound: tuple[Any, ...]) -> Any:
    copy: Any = registry.find(key).with_options(**overrides)
    copy.bound = bound
    if bound:
        copy.signature = Signature(copy.fn, skip_first=True)
    return copy


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    cache_policy: CachePolicy | None = None,
    cache_key_fn: Callable[[Any, dict[str, Any]], str | None] | None = None,
    cache_expiration: timedelta | None = None,
    task_run_name: str | Callable[..., str] | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    retry_jitter_factor: float | None = None,
    retry_condition_fn: Callable[..., Any] | None = None,
    persist_result: bool | None = None,
    result_storage: Any = None,
    result_storage_key: str | None = None,
    result_serializer: Any = None,
    cache_result_in_memory: bool = True,
    timeout_seconds: float | None = None,
    log_prints: bool | None = None,
    refresh_cache: bool | None = None,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    on_running: Iterable[Hook] | None = None,
    on_commit: Iterable[Hook] | None = None,
    on_rollback: Iterable[Hook] | None = None,
    queue: str | None = None,
    priority: str = "default",
    max_deliveries: int | None = None,
    hard_timeout_seconds: float | None = None,
    rate_limit: str | float | None = None,
    concurrency: int | tuple[str, int] | None = None,
    result_ttl: float | timedelta | None = None,
    validate_parameters: bool = False,
    cache_isolation: str | None = None,
    viz_return_value: Any = None,
    **ignored: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function, coroutine function, (async) generator, method, static or class method.

    Options as in Prefect 3: name, description, tags, version, cache_policy, cache_key_fn, cache_expiration (timedelta),
    task_run_name (template over the parameters, or callable), retries, retry_delay_seconds (number, list, or callable
    from the number of retries to a list), retry_jitter_factor, retry_condition_fn(task, task_run, state) -> bool,
    persist_result, result_storage (a file system, "slug/name", or a folder), result_storage_key (a template),
    result_serializer ("msgpack", "json", "pickle", "compressed/json", ...), cache_result_in_memory, timeout_seconds,
    log_prints, refresh_cache, on_completion / on_failure / on_running (lists of hooks), on_commit / on_rollback (of
    transactions, see there), viz_return_value (what stands for the result where a flow is drawn, ``flow.visualize()``).

    Ours: queue, priority ("high", "default", "low"), max_deliveries (how often the call may kill its worker before it
    is a dead letter), hard_timeout_seconds (then the worker process is killed; retried like any timeout, unless there
    is a retry_condition_fn, which nobody is left to ask), rate_limit ("10/s"), concurrency (size, or (name, size): how
    many such calls may run at once in the whole fleet), result_ttl (seconds),
    validate_parameters (arguments are checked and converted by annotation), cache_isolation ("serializable": identical
    calls that run at once are collapsed into one).

    Raises:
        TypeError, ValueError: an option is wrong; the message names it.

    >>> @task(retries=2, retry_delay_seconds=[1, 10])
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(21)
    42
    """
    isolation = options.pop("cache_isolation", None)
    if fn is not None and not callable(fn) and not isinstance(fn, staticmethod | classmethod):
        raise TypeError(f"@task needs a function, not {fn!r}; options are given by name")
    changed = Task.checked({name: value for name, value in options.items() if value is not None})
    if isolation is not None:
        changed["cache_policy"] = _isolated(changed.get("cache_policy"), isolation)
    made = TaskOptions(**changed)
    return Task(fn, made) if fn is not None else lambda function: Task(function, made)


def _isolated(policy: CachePolicy | None, isolation: str) -> CachePolicy:
    from orchestrator.cache_policies import DEFAULT

    return (policy if policy is not None else DEFAULT).configure(isolation=isolation)


def _expansion() -> Task[..., list[str]]:
    """Its runs make the calls of maps over what is not there yet."""
    from orchestrator.submission.deferred import EXPANSION_OPTIONS, expand

    return Task(expand, TaskOptions(**EXPANSION_OPTIONS), task_key=registry.EXPANSION_KEY)


registry.add_built_in(registry.EXPANSION_KEY, _expansion)

__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]
