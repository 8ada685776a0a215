"""``@flow``: a function that calls, submits and maps tasks, and has a state of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from orchestrator.binding import Signature
from orchestrator.direct import futures_in, with_results
from orchestrator.errors import OrchestratorError
from orchestrator.flow_engine import FlowRun, run_flow, run_flow_async
from orchestrator.ids import new_run_id
from orchestrator.options import Hook, hooks_from
from orchestrator.retries import DelayOption, RetryPolicy
from orchestrator.states import Failed, State
from orchestrator.task_runners import TaskRunner, runner_for_flow
from orchestrator.waiting import wait_async, wait_for_all

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_HOOKS = ("on_completion", "on_failure", "on_running", "on_cancellation", "on_crashed")


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """The options of one flow; times in seconds."""

    name: str = ""
    description: str | None = None
    version: str | None = None
    tags: frozenset[str] = frozenset()
    flow_run_name: str | Callable[..., str] | None = None
    retries: int | None = None
    retry_delay_seconds: DelayOption = None
    task_runner: TaskRunner | type | None = None
    timeout_seconds: float | None = None
    validate_parameters: bool = True
    persist_result: bool | None = None
    result_serializer: str | None = None
    log_prints: bool = False
    on_completion: tuple[Hook, ...] = ()
    on_failure: tuple[Hook, ...] = ()
    on_running: tuple[Hook, ...] = ()
    on_cancellation: tuple[Hook, ...] = ()
    on_crashed: tuple[Hook, ...] = ()
    retry_policy: RetryPolicy | None = field(init=False, default=None, compare=False)

    def __post_init__(self) -> None:
        timeout = self.timeout_seconds
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
            raise ValueError(f"timeout_seconds={timeout!r} must be seconds above zero")
        runner = self.task_runner
        if runner is not None and not callable(getattr(runner, "submit", None)):
            raise TypeError(f"task_runner={runner!r} must be a task runner, such as ThreadPoolTaskRunner()")
        for name in _HOOKS:
            if not all(callable(hook) for hook in getattr(self, name)):
                raise TypeError(f"{name} must be a list of callables hook(flow, flow_run, state)")
        if self.retries is not None or self.retry_delay_seconds is not None:
            policy = RetryPolicy.from_options(self.retries or 0, self.retry_delay_seconds)
            object.__setattr__(self, "retry_policy", policy)


_FIELDS = frozenset(f.name for f in fields(FlowOptions) if f.init)
_IGNORED = frozenset(("result_storage", "cache_result_in_memory"))


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in _FIELDS and name not in _IGNORED:
            raise TypeError(f"a flow has no option {name!r}; it has: {', '.join(sorted(_FIELDS))}")
    changed = {name: value for name, value in options.items() if name in _FIELDS}
    for name in _HOOKS:
        if name in changed:
            changed[name] = hooks_from(name, changed[name])
    if "tags" in changed:
        changed["tags"] = frozenset(changed["tags"] or ())
    return changed


class Flow(Generic[P, R]):
    """A function with options. Made by :func:`flow`; calling it runs it in the caller's process.

    Attributes:
        fn: the plain function.
        options: the frozen options.
    """

    def __init__(self, fn: Callable[P, R], options: FlowOptions | None = None) -> None:
        if not callable(fn):
            raise TypeError(f"@flow needs a function, not {fn!r}")
        options = options or FlowOptions()
        self.fn: Callable[P, R] = fn
        self.options = options if options.name else replace(options, name=fn.__name__.replace("_", "-"))
        self.signature = Signature(fn)
        self.isasync = inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)
        self._bound: tuple[Any, ...] = ()
        functools.update_wrapper(self, fn)

    @property
    def name(self) -> str:
        """Its name for people: the function's, with dashes, unless given."""
        return self.options.name

    @property
    def description(self) -> str | None:
        """What it does; the function's docstring unless given."""
        return self.options.description or inspect.getdoc(self.fn)

    def __repr__(self) -> str:
        return f"<Flow {self.name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Flow[..., R]:
        if instance is None:
            return self
        copy = self._copy()
        copy._bound = (instance,)
        copy.signature = Signature(self.fn, skip_first=True)
        return copy

    def _copy(self) -> Flow[P, R]:
        copy: Flow[P, R] = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def with_options(self, **options: Any) -> Flow[P, R]:
        """A copy with some options changed; everything else stays. Raises TypeError for an unknown option."""
        copy = self._copy()
        copy.options = replace(self.options, **_checked(options))
        return copy

    def on_completion(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run completed: ``@my_flow.on_completion``."""
        return self._add_hook("on_completion", fn)

    def on_failure(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run failed."""
        return self._add_hook("on_failure", fn)

    def on_running(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run starts."""
        return self._add_hook("on_running", fn)

    def on_cancellation(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run was cancelled."""
        return self._add_hook("on_cancellation", fn)

    def on_crashed(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run was stopped from outside (Ctrl-C)."""
        return self._add_hook("on_crashed", fn)

    def _add_hook(self, name: str, fn: Hook) -> Hook:
        changes: dict[str, Any] = {name: (*getattr(self.options, name), fn)}
        self.options = replace(self.options, **changes)
        return fn

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self: Flow[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here (an async flow: a coroutine).

        The flow ends Completed for a plain value, in the state summed up from the futures and states it returns, or
        Failed for an exception.

        Args:
            return_state: give the final State instead of the result; nothing is raised then.
            wait_for: futures to wait for before.

        Raises:
            ParameterBindError, ParameterTypeError: the arguments do not fit (types are checked and converted by
                annotation unless ``validate_parameters=False``).
            BaseException: what the flow raised, or the error of the first task run that failed among those it returned.
        """
        return_state = kwargs.pop("return_state", False)
        waits = list(kwargs.pop("wait_for", None) or ())
        if self.isasync:
            return self._call_async(args, kwargs, waits, return_state)
        wait_for_all(futures_in((args, kwargs, waits)), None)
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            return _refused(error, return_state)
        return _answer(run_flow(run, args, kwargs), return_state)

    async def _call_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any], return_state: bool
    ) -> Any:
        await wait_async(futures_in((args, kwargs, waits)))
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            return _refused(error, return_state)
        return _answer(await run_flow_async(run, args, kwargs), return_state)

    def _new_run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any]
    ) -> tuple[FlowRun, tuple[Any, ...], dict[str, Any]]:
        plain, named = with_results(args, kwargs, waits)
        self.signature.check(plain, named)
        if self.options.validate_parameters:
            valid, named = self.signature.validated(plain, named)
            plain = list(valid)
        parameters = self.signature.parameters(plain, named)
        runner = runner_for_flow(self.options.task_runner)
        return FlowRun(self, new_run_id(), parameters, runner), (*self._bound, *plain), named


def _answer(state: State[Any], return_state: bool) -> Any:
    if return_state:
        return state
    return _plain(state.result())


def _plain(value: Any) -> Any:
    """A flow that returned states gives their results; one that returned futures' states as well."""
    if isinstance(value, State):
        return value.result()
    if isinstance(value, list | tuple | set) and value and all(isinstance(member, State) for member in value):
        return type(value)(member.result() for member in value)
    return value


def _refused(error: OrchestratorError, return_state: bool) -> State[Any]:
    if return_state:
        return Failed(message=str(error), data=error)
    raise error


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str | None = None,
    tags: Iterable[str] | None = None,
    flow_run_name: str | Callable[..., str] | None = None,
    retries: int | None = None,
    retry_delay_seconds: Any = None,
    task_runner: TaskRunner | type | None = None,
    timeout_seconds: float | None = None,
    validate_parameters: bool = True,
    persist_result: bool | None = None,
    result_serializer: str | None = None,
    log_prints: bool = False,
    on_completion: Iterable[Hook] | None = None,
    on_failure: Iterable[Hook] | None = None,
    on_running: Iterable[Hook] | None = None,
    on_cancellation: Iterable[Hook] | None = None,
    on_crashed: Iterable[Hook] | None = None,
    **ignored: Any,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...


def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function or coroutine function.

    Options as in Prefect 3: name, description, version, tags, flow_run_name, retries, retry_delay_seconds,
    task_runner (an instance or a class; the fleet unless given or set otherwise), timeout_seconds,
    validate_parameters (True), persist_result, result_serializer, log_prints, and the hooks on_completion, on_failure,
    on_running, on_cancellation, on_crashed, each a list of callables ``hook(flow, flow_run, state)``.

    Raises:
        TypeError, ValueError: an option is wrong; the message names it.

    >>> @flow
    ... def hello(name: str = "you") -> str:
    ...     return f"hello {name}"
    >>> hello("world")
    'hello world'
    """
    if fn is not None and not callable(fn):
        raise TypeError(f"@flow needs a function, not {fn!r}; options are given by name")
    made = FlowOptions(**_checked({name: value for name, value in options.items() if value is not None}))
    return Flow(fn, made) if fn is not None else lambda function: Flow(function, made)
