"""``@flow``: a function that calls, submits and maps tasks, and has a state of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Self, TypeVar, overload

from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.errors import OrchestratorError, UpstreamTaskError
from orchestrator.execution.flow_run import FlowRun
from orchestrator.execution.generators import async_values_of, values_of
from orchestrator.execution.inline import futures_in, with_results
from orchestrator.execution.local_flows import refuse, refuse_async, run_flow, run_flow_async, yielding
from orchestrator.runnables.flow_call import FlowCall
from orchestrator.runnables.flow_drawing import DrawableFlow
from orchestrator.runnables.flow_options import FlowOptions
from orchestrator.runnables.functions import name_of
from orchestrator.runnables.options import Hook
from orchestrator.runnables.sendable_flow import SendableFlow
from orchestrator.runner.flow_methods import ServableFlow
from orchestrator.runs.drawing import current_drawing
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import NotReady, State
from orchestrator.task_runners.base import TaskRunner
from orchestrator.task_runners.choice import runner_for_flow

if TYPE_CHECKING:
    from orchestrator.runnables.flow_loading import is_entrypoint_async as is_entrypoint_async
    from orchestrator.runnables.flow_loading import (
        load_flow_arguments_from_entrypoint as load_flow_arguments_from_entrypoint,
    )
    from orchestrator.runnables.flow_loading import load_flow_from_entrypoint as load_flow_from_entrypoint
    from orchestrator.runnables.flow_loading import load_flow_from_script as load_flow_from_script
    from orchestrator.runnables.flow_loading import load_flow_from_text as load_flow_from_text
    from orchestrator.runnables.flow_loading import load_flows_from_script as load_flows_from_script
    from orchestrator.runnables.flow_loading import (
        load_function_and_convert_to_flow as load_function_and_convert_to_flow,
    )
    from orchestrator.runnables.flow_loading import select_flow as select_flow

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Flow(SendableFlow, ServableFlow, DrawableFlow, Generic[P, R]):
    """A function with options. Made by :func:`flow`; calling it runs it in the caller's process.

    Every option is an attribute, too: ``my_flow.retries``, ``my_flow.version``.

    Attributes:
        fn: the plain function.
        options: the frozen options.
        isasync, isgenerator: what kind of function it is.

    >>> Flow(fn=lambda: 1, name="one", retries=2).retries
    2
    """

    noun = "flow"
    options_type = FlowOptions
    options: FlowOptions
    fn: Callable[P, R]

    def __init__(self, fn: Callable[P, R], options: FlowOptions | None = None, **more: Any) -> None:
        super().__init__(fn, options, more)
        self._call: FlowCall | None = None
        self._base_call = FlowCall(self)  # makes it known to the workers that import it

    @property
    def call(self) -> FlowCall:
        """What stands for it in queues and on workers."""
        if self._call is None:
            base = self._base_call
            self._call = base if base.flow is self else base.of(self)
        return self._call

    def _copy(self) -> Self:
        copy = super()._copy()
        copy._call = None
        return copy

    def _add_hook(self, name: str, fn: Hook) -> Hook:
        self._call = None
        return super()._add_hook(name, fn)

    def __set_name__(self, owner: type, name: str) -> None:
        self._base_call.owner = owner

    @staticmethod
    def default_name(fn: Callable[..., Any]) -> str:
        """The function's name with dashes. Lambdas have none.

        >>> Flow.default_name(lambda: 1)
        'unknown-lambda'
        """
        name = name_of(fn)
        return "unknown-lambda" if name == "<lambda>" else name.replace("_", "-")

    def __repr__(self) -> str:
        return f"<Flow {self.name}>"

    def on_cancellation(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run was cancelled."""
        return self._add_hook("on_cancellation", fn)

    def on_crashed(self, fn: Hook) -> Hook:
        """Call ``fn(flow, flow_run, state)`` when a run was stopped from outside: Ctrl-C, SIGTERM, a killed process.

        After its process was killed it is called in another one, if the flow was sent to a worker or the run is one of
        a deployment.
        """
        return self._add_hook("on_crashed", fn)

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self: Flow[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here (an async flow: a coroutine; a generator function: a generator).

        The flow ends Completed for a plain value, in the state summed up from the futures and states it returns, or
        Failed for an exception. Where the function returned futures, the result has their final States.

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
        drawing = current_drawing.get()
        if drawing is not None:
            return drawing.call(self, (args, kwargs, waits))
        if self.isgenerator and not return_state:
            return self._values_async(args, kwargs, waits) if self.isasync else self._values(args, kwargs, waits)
        if self.isasync:
            return self._call_async(args, kwargs, waits, return_state)
        wait_for_all(futures_in((args, kwargs, waits)), None)
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            return self._refused(error, args, kwargs, return_state)
        state = run.known_before or run_flow(run, args, kwargs)
        return state if return_state else state.result()

    async def _call_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any], return_state: bool
    ) -> Any:
        await wait_async(futures_in((args, kwargs, waits)))
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            return await self._refused_async(error, args, kwargs, return_state)
        state = run.known_before or await run_flow_async(run, args, kwargs)
        return state if return_state else await state.aresult()

    def _values(self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any]) -> Iterator[Any]:
        wait_for_all(futures_in((args, kwargs, waits)), None)
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            self._refused(error, args, kwargs, False)
            raise
        with yielding(run, args, kwargs) as values:
            yield from values_of(values)

    async def _values_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any]
    ) -> AsyncIterator[Any]:
        await wait_async(futures_in((args, kwargs, waits)))
        try:
            run, args, kwargs = self._new_run(args, kwargs, waits)
        except OrchestratorError as error:
            await self._refused_async(error, args, kwargs, False)
            raise
        with yielding(run, args, kwargs) as values:
            async for value in async_values_of(values):
                yield value

    def _new_run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], waits: list[Any]
    ) -> tuple[FlowRun, tuple[Any, ...], dict[str, Any]]:
        plain, named = with_results(args, kwargs, waits)
        self.signature.check(plain, named)
        if self.options.validate_parameters:
            valid, named = self.signature.validated(plain, named, defaults=True)
            plain = list(valid)
        parameters = self.signature.parameters(plain, named)
        runner = runner_for_flow(self.options.task_runner)
        return FlowRun(self, new_run_id(), parameters, runner), (*self.bound, *plain), named

    def _refused(
        self, error: OrchestratorError, args: tuple[Any, ...], kwargs: dict[str, Any], return_state: bool
    ) -> State[Any]:
        """The end of a run that was not begun; parameters that do not fit are a failure of the flow, hooks included."""
        if isinstance(error, UpstreamTaskError):
            state: State[Any] = NotReady(message=str(error), data=error)
        else:
            state = refuse(self, error, self.signature.given(args, kwargs), runner_for_flow(self.options.task_runner))
        if return_state:
            return state
        raise error

    async def _refused_async(
        self, error: OrchestratorError, args: tuple[Any, ...], kwargs: dict[str, Any], return_state: bool
    ) -> State[Any]:
        if not isinstance(error, UpstreamTaskError):
            state = await refuse_async(
                self, error, self.signature.given(args, kwargs), runner_for_flow(self.options.task_runner)
            )
        else:
            state = NotReady(message=str(error), data=error)
        if return_state:
            return state
        raise error


class FlowDecorator:
    """``@flow``, which also finds flows elsewhere: ``flow.from_source("https://host/shop.git", "etl.py:load")``."""

    from_source = Flow.from_source

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Flow[P, R]: ...
    @overload
    def __call__(
        self,
        /,
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
        result_storage: Any = None,
        result_storage_key: str | None = None,
        result_serializer: Any = None,
        cache_result_in_memory: bool = True,
        log_prints: bool | None = None,
        on_completion: Iterable[Hook] | None = None,
        on_failure: Iterable[Hook] | None = None,
        on_running: Iterable[Hook] | None = None,
        on_cancellation: Iterable[Hook] | None = None,
        on_crashed: Iterable[Hook] | None = None,
        **ignored: Any,
    ) -> Callable[[Callable[P, R]], Flow[P, R]]: ...

    def __call__(self, fn: Any = None, /, **options: Any) -> Any:
        """Make a flow of a function or coroutine function.

        Options as in Prefect 3: name, description, version, tags, flow_run_name, retries, retry_delay_seconds,
        task_runner (an instance or a class; the fleet unless given or set otherwise), timeout_seconds,
        validate_parameters (True), persist_result, result_storage and result_serializer (of its tasks, too),
        result_storage_key, cache_result_in_memory, log_prints, and the hooks on_completion, on_failure, on_running,
        on_cancellation, on_crashed, each a list of callables ``hook(flow, flow_run, state)``.

        Raises:
            TypeError, ValueError: an option is wrong; the message names it.

        >>> @flow
        ... def hello(name: str = "you") -> str:
        ...     return f"hello {name}"
        >>> hello("world")
        'hello world'
        """
        if fn is not None and not callable(fn) and not isinstance(fn, staticmethod | classmethod):
            raise TypeError(f"@flow needs a function, not {fn!r}; options are given by name")
        given = {name: value for name, value in options.items() if value is not None}
        made = FlowOptions(**Flow.checked(given))
        return Flow(fn, made) if fn is not None else lambda function: Flow(function, made)


flow = FlowDecorator()

_LOADING = frozenset(
    (
        "is_entrypoint_async",
        "load_flow_arguments_from_entrypoint",
        "load_flow_from_entrypoint",
        "load_flow_from_script",
        "load_flow_from_text",
        "load_flows_from_script",
        "load_function_and_convert_to_flow",
        "select_flow",
    )
)


def __getattr__(name: str) -> Any:
    """What finds flows by their entrypoints, as ``prefect.flows`` has it."""
    if name not in _LOADING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.runnables import flow_loading

    return getattr(flow_loading, name)
