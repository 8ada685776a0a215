"""``@task``: a function that can be called here, submitted, mapped, or left to a worker."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator import registry
from orchestrator.binding import Signature
from orchestrator.cache_policies import CachePolicy, task_input_hash
from orchestrator.options import FIELDS, Hook, TaskOptions, hooks_from
from orchestrator.retries import exponential_backoff
from orchestrator.states import State

if TYPE_CHECKING:
    from orchestrator.futures import PrefectFuture, PrefectFutureList

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Task(Generic[P, R]):
    """A function with options. Made by :func:`task`.

    Attributes:
        fn: the plain function.
        options: the frozen options.
        task_key: the name under which a worker knows it, ``module.qualname``.
    """

    def __init__(self, fn: Callable[P, R], options: TaskOptions | None = None, *, task_key: str | None = None) -> None:
        kind, plain = _unwrapped(fn)
        if not callable(plain):
            raise TypeError(f"@task needs a function, not {fn!r}")
        self.fn: Callable[P, R] = plain
        self._kind = kind
        options = options or TaskOptions()
        self.options = options if options.name else options.using(name=_plain_name(plain))
        self.task_key = task_key or _key_of(plain)
        self.signature = Signature(plain, skip_first=kind == "classmethod")
        self.isasync = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)
        self.isgenerator = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
        self.owner: type | None = None
        self.overrides: dict[str, Any] = {}
        self.binds_class = kind == "classmethod"
        self.bound: tuple[Any, ...] = ()
        self.frames: dict[bool, Any] = {}  # what its plain calls have in common, see calls.py
        functools.update_wrapper(self, plain)
        registry.add(self)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.options.name

    @property
    def description(self) -> str | None:
        """What it does; the function's docstring unless given."""
        return self.options.description or inspect.getdoc(self.fn)

    @property
    def tags(self) -> frozenset[str]:
        """Tags of every run of it."""
        return self.options.tags

    @property
    def retries(self) -> int:
        """How many attempts may follow the first."""
        return self.options.retries or 0

    def __repr__(self) -> str:
        return f"<Task {self.task_key}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner

    def __get__(self, instance: Any, owner: type | None = None) -> Task[..., R]:
        """As a method: a copy whose first argument is bound."""
        if self._kind == "staticmethod" or (instance is None and self._kind != "classmethod"):
            return self
        copy = self._copy()
        copy.bound = (owner or type(instance),) if self._kind == "classmethod" else (instance,)
        if self._kind == "method":
            copy.signature = Signature(self.fn, skip_first=True)
        return copy

    @property
    def hidden_arguments(self) -> int:
        """How many leading arguments the signature leaves out: a bound ``self``, or ``cls``."""
        return 1 if self.binds_class else len(self.bound)

    def _copy(self) -> Task[P, R]:
        copy: Task[P, R] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.frames = {}
        return copy

    def arguments(self, args: Iterable[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The positional arguments of the function, a bound ``self`` or ``cls`` included.

        Raises:
            ParameterBindError: the function cannot be called so.
            ParameterTypeError: the task validates its parameters, and one does not fit.
        """
        args = tuple(args)
        self.signature.check(args, kwargs)
        if self.options.validate_parameters:
            valid, named = self.signature.validated(args, kwargs)
            args = tuple(valid)
            kwargs.update(named)
        return (*self.bound, *args)

    def with_options(self, **options: Any) -> Task[P, R]:
        """A copy with some options changed; everything else stays.

        Raises:
            TypeError: no such option. Wrong values: see :func:`task`.
        """
        changes = _checked_names(options)
        copy = self._copy()
        copy.options = self.options.using(**changes)
        copy.overrides = {**self.overrides, **changes}
        return copy

    # -- hooks as decorators -------------------------------------------------------------------------------------

    def on_completion(self, fn: Hook) -> Hook:
        """Call ``fn(task, task_run, state)`` when a run completed: ``@my_task.on_completion``."""
        return self._add_hook("on_completion", fn)

    def on_failure(self, fn: Hook) -> Hook:
        """Call ``fn(task, task_run, state)`` when a run failed for good."""
        return self._add_hook("on_failure", fn)

    def on_running(self, fn: Hook) -> Hook:
        """Call ``fn(task, task_run, state)`` before each attempt."""
        return self._add_hook("on_running", fn)

    def _add_hook(self, name: str, fn: Hook) -> Hook:
        self.options = self.options.using(**{name: (*getattr(self.options, name), fn)})
        self.frames.clear()
        return fn

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

        Needs no broker, unless the task is cached: the cache lives in the store.

        Args:
            return_state: give the final State instead of the result; nothing is raised then.
            wait_for: runs that must have completed before.

        Raises:
            ParameterBindError: the arguments do not fit.
            BaseException: what the function raised.
        """
        from orchestrator.direct import call_here

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
        from orchestrator.task_runners import runner_here

        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        future = runner_here().submit(self, self.arguments(args, kwargs), kwargs, wait_for)
        if return_state:
            future.wait()
            return future.state
        return future

    async def asubmit(self, *args: Any, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`submit` for event loops: never blocks the loop; confirmed when it returns (ours)."""
        from orchestrator.calls import asend_call

        return await asend_call(self, self.arguments(args, kwargs), kwargs, wait_for=wait_for, watched=True)

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

    def map(self, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any) -> Any:
        """One call for each element: every iterable argument is zipped, ``unmapped(x)`` and other values are constant.

        Returns:
            The handles in input order; an empty list for empty iterables.

        Raises:
            MappingMissingIterable, MappingLengthMismatch: see :func:`orchestrator.binding.mapped_arguments`.
        """
        from orchestrator.binding import Rows, mapped_arguments
        from orchestrator.task_runners import runner_here

        given = mapped_arguments(self.signature, args, kwargs)
        rows = Rows(len(given), lambda: ((self.arguments(row, named), named) for row, named in given))
        futures = runner_here().map(self, rows, wait_for)
        if return_state:
            futures.wait()
            return futures.states
        return futures

    @overload
    def delay(self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[T]: ...
    @overload
    def delay(self, *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[R]: ...

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Fire and forget: returns once the call is durably queued, inside or outside a flow.

        Raises:
            BrokerUnavailable: within 2 seconds, when the server is not there. Nothing was sent, unless the message says
                that the reply was lost: then the call may be queued. Give an ``idempotency_key`` (``apply_async``) to
                repeat it safely.
        """
        from orchestrator.calls import send_call

        return send_call(self, self.arguments(args, kwargs), kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """:meth:`delay` for event loops: never blocks the loop; concurrent callers share round trips (ours)."""
        from orchestrator.calls import asend_call

        return await asend_call(self, self.arguments(args, kwargs), kwargs)

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
        from orchestrator.calls import send_call
        from orchestrator.envelopes import CallOptions

        options = CallOptions.checked(countdown, eta, expires, priority, queue, idempotency_key)
        return send_call(self, self.arguments(args, kwargs or {}), kwargs or {}, wait_for=wait_for, options=options)

    def __reduce__(self) -> Any:
        if self.overrides or self.bound:
            return _rebuilt, (self.task_key, self.overrides, self.bound)
        return registry.find, (self.task_key,)


def _rebuilt(key: str, overrides: dict[str, Any], bound: tuple[Any, ...]) -> Task[..., Any]:
    copy = registry.find(key).with_options(**overrides)
    copy.bound = bound
    return copy


def _unwrapped(fn: Any) -> tuple[str, Any]:
    if isinstance(fn, staticmethod):
        return "staticmethod", fn.__func__
    if isinstance(fn, classmethod):
        return "classmethod", fn.__func__
    if isinstance(fn, Task):
        raise TypeError(f"{fn!r} is a task already: use with_options() to change it")
    return "method", fn


def _plain_name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def _key_of(fn: Callable[..., Any]) -> str:
    module = getattr(fn, "__module__", None) or "unknown"
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return f"{_main_name() if module in ('__main__', '__mp_main__') else module}.{name}"


def _main_name() -> str:
    """What a worker that imports the running script would call its module."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return spec.name.removesuffix(".__main__")  # type: ignore[no-any-return]
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def _checked_names(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in FIELDS and name not in _IGNORED:
            raise TypeError(f"a task has no option {name!r}; it has: {', '.join(sorted(FIELDS))}")
    changed = {name: value for name, value in options.items() if name in FIELDS}
    for name in ("on_completion", "on_failure", "on_running"):
        if name in changed:
            changed[name] = hooks_from(name, changed[name])
    if "tags" in changed:
        changed["tags"] = frozenset(changed["tags"] or ())
    return changed


# Options of Prefect that have no meaning here; scripts that give them go on working.
_IGNORED = frozenset(
    ("result_storage", "result_storage_key", "cache_result_in_memory", "viz_return_value", "asset_deps")
)


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
    result_serializer: str | None = None,
    timeout_seconds: float | None = None,
    log_prints: bool = False,
    refresh_cache: bool = False,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    on_running: Iterable[Hook] | None = None,
    queue: str | None = None,
    priority: str = "default",
    max_deliveries: int | None = None,
    hard_timeout_seconds: float | None = None,
    rate_limit: str | float | None = None,
    concurrency: int | tuple[str, int] | None = None,
    result_ttl: float | timedelta | None = None,
    validate_parameters: bool = False,
    cache_isolation: str | None = None,
    **ignored: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function, coroutine function, (async) generator, method, static or class method.

    Options as in Prefect 3: name, description, tags, version, cache_policy, cache_key_fn, cache_expiration (timedelta),
    task_run_name (template over the parameters, or callable), retries, retry_delay_seconds (number, list, or callable
    from the number of retries to a list), retry_jitter_factor, retry_condition_fn(task, task_run, state) -> bool,
    persist_result, result_serializer ("msgpack", "json", "pickle"), timeout_seconds, log_prints, refresh_cache,
    on_completion / on_failure / on_running (lists of hooks).

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
    changed = _checked_names({name: value for name, value in options.items() if value is not None})
    if isolation is not None:
        changed["cache_policy"] = _isolated(changed.get("cache_policy"), isolation)
    made = TaskOptions(**changed)
    return Task(fn, made) if fn is not None else lambda function: Task(function, made)


def _isolated(policy: CachePolicy | None, isolation: str) -> CachePolicy:
    from orchestrator.cache_policies import DEFAULT

    return (policy if policy is not None else DEFAULT).configure(isolation=isolation)


__all__ = ["Task", "exponential_backoff", "task", "task_input_hash"]
