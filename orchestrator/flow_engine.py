"""Run a flow: in the caller's thread or event loop, with retries, a timeout, hooks and a task runner."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from orchestrator.context import current_attempt, current_flow_run, current_tags
from orchestrator.errors import BrokerError, TaskTimeout
from orchestrator.futures import PrefectFuture
from orchestrator.interrupt import CancelRun, soft_deadline
from orchestrator.outcomes import flow_message
from orchestrator.run_logs import Keep, logging_prints
from orchestrator.states import Cancelled, Crashed, Failed, Running, State, TimedOut, return_value_to_state
from orchestrator.waiting import wait_async

if TYPE_CHECKING:
    from orchestrator.flows import Flow
    from orchestrator.task_runners import TaskRunner

log = logging.getLogger("orchestrator.flow_runs")


class FlowRun:
    """One run of a flow; what the code inside can ask about itself (``orchestrator.runtime.flow_run``).

    Attributes:
        id, name, parameters, tags, run_count, state: as their names say.
        task_runner: runs the calls that the flow submits.
    """

    def __init__(self, flow: Flow[..., Any], run_id: str, parameters: dict[str, Any], task_runner: TaskRunner) -> None:
        self.flow = flow
        self.run_id = run_id
        self.parameters = parameters
        self.task_runner = task_runner
        self.parent = current_flow_run.get()
        self.parent_task_run_id = attempt.run_id if (attempt := current_attempt.get()) is not None else None
        self.tags = frozenset(flow.options.tags) | current_tags.get()
        self.run_count = 0
        self.state: State[Any] = Running(flow_run_id=run_id)
        self.name = self._make_name()
        self._hash: str | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.run_id

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return self.flow.name

    def _make_name(self) -> str:
        template = self.flow.options.flow_run_name
        if isinstance(template, str):
            return template.format(**self.flow.signature.masked(self.parameters))
        if template is not None:
            return str(template())
        return f"{self.flow.name}-{self.run_id[-4:]}"

    @property
    def keep_log(self) -> Keep | None:
        """Where log lines of this run and its local tasks are kept; nowhere when no server is in use."""
        fleet = _fleet_in_use()
        return fleet.logs.add if fleet is not None else None

    def parameters_hash(self) -> str:
        """A hash of the parameters, for the cache policy FLOW_PARAMETERS."""
        if self._hash is None:
            from orchestrator.cache_policies import stable_hash

            try:
                self._hash = stable_hash(self.parameters)
            except ValueError:
                self._hash = hashlib.sha256(self.run_id.encode()).hexdigest()
        return self._hash

    def note(self, state: State[Any]) -> None:
        """The run is in this state now; written to the store where one is in use."""
        self.state = state
        fleet = _fleet_in_use()
        if fleet is None:
            return
        try:
            fleet.broker.write_flow_run(
                self.run_id,
                {
                    "flow": self.flow.name,
                    "name": self.name,
                    "type": state.type.value,
                    "state": state.name,
                    "message": flow_message(self.run_id, state.message or ""),
                    "at": f"{state.timestamp.timestamp():.3f}",
                    "runs": str(self.run_count),
                    "parent": self.parent.run_id if self.parent else "",
                },
            )
        except BrokerError as error:
            log.warning("flow run %s is %s, which the store could not be told: %s", self.name, state.name, error)


def _fleet_in_use() -> Any:
    from orchestrator import fleet

    current = fleet._current
    return current if current is not None and current.ready else None


def run_flow(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> State[Any]:
    """All attempts at a flow, in this thread."""
    with _around(run):
        while True:
            run.run_count += 1
            _call_hooks(run, run.flow.options.on_running, Running(flow_run_id=run.run_id))
            state = _settled_state(run, lambda: return_value_to_state(_call(run, args, kwargs)))
            delay = _delay_before_retry(run, state)
            if delay is None:
                return _finish(run, state)
            time.sleep(delay)


def _call(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    fn, timeout = run.flow.fn, run.flow.options.timeout_seconds
    if inspect.isgeneratorfunction(fn):
        fn = lambda *a, **k: list(run.flow.fn(*a, **k))  # noqa: E731
    if timeout is None:
        return fn(*args, **kwargs)
    with soft_deadline(timeout, f"flow {run.flow.name}") as block:
        try:
            return fn(*args, **kwargs)
        except TaskTimeout as error:
            raise (block.cause or error) from None


async def run_flow_async(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> State[Any]:
    """All attempts at an async flow, on this event loop."""
    with _around(run, stop=False) as runner:
        try:
            while True:
                run.run_count += 1
                _call_hooks(run, run.flow.options.on_running, Running(flow_run_id=run.run_id))
                try:
                    value = await _call_async(run, args, kwargs)
                except asyncio.CancelledError:
                    _finish(run, Cancelled(message="the flow's asyncio task was cancelled"))
                    raise
                except (Exception, CancelRun) as error:
                    state = _state_of_error(run, error)
                else:
                    state = await _state_of_value(run, value)
                delay = _delay_before_retry(run, state)
                if delay is None:
                    return _finish(run, state)
                await asyncio.sleep(delay)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(runner.stop, True))
            raise
        finally:
            await asyncio.to_thread(runner.stop)


async def _call_async(run: FlowRun, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    fn, timeout = run.flow.fn, run.flow.options.timeout_seconds
    if inspect.isasyncgenfunction(fn):
        return [value async for value in fn(*args, **kwargs)]
    if timeout is None:
        return await fn(*args, **kwargs)
    try:
        async with asyncio.timeout(timeout) as limit:
            return await fn(*args, **kwargs)
    except TimeoutError:
        if limit.expired():
            raise TaskTimeout(f"flow {run.flow.name} ran longer than {timeout:g} s") from None
        raise


async def _state_of_value(run: FlowRun, value: Any) -> State[Any]:
    members = value if isinstance(value, list | tuple | set | frozenset) else [value]
    await wait_async([member for member in members if isinstance(member, PrefectFuture)])
    return _settled_state(run, lambda: return_value_to_state(value))


def _settled_state(run: FlowRun, attempt: Callable[[], State[Any]]) -> State[Any]:
    try:
        return attempt()
    except (Exception, CancelRun) as error:
        return _state_of_error(run, error)
    except BaseException as error:
        _finish(run, Crashed(message=f"the flow was stopped by {type(error).__name__}", data=error))
        raise


def _state_of_error(run: FlowRun, error: BaseException) -> State[Any]:
    if isinstance(error, TaskTimeout):
        return TimedOut(message=str(error), data=error)
    if isinstance(error, CancelRun):
        return Cancelled(message=str(error), data=error.as_error())
    return Failed(message=f"{type(error).__name__}: {error}", data=error)


def _delay_before_retry(run: FlowRun, state: State[Any]) -> float | None:
    policy = run.flow.options.retry_policy
    if not state.is_failed() or policy is None or not policy.allows(run.run_count - 1):
        return None
    delay = policy.delay_before(run.run_count - 1)
    log.warning("flow run %s failed (%s); again in %g s", run.name, state.message, delay)
    return delay


def _finish(run: FlowRun, state: State[Any]) -> State[Any]:
    state = state.copy(flow_run_id=run.run_id, run_count=run.run_count)
    options = run.flow.options
    hooks = {
        "COMPLETED": options.on_completion,
        "FAILED": options.on_failure,
        "CANCELLED": options.on_cancellation,
        "CRASHED": options.on_crashed,
    }.get(state.type.value, ())
    run.note(state)
    _call_hooks(run, hooks, state)
    return state


def _call_hooks(run: FlowRun, hooks: Sequence[Callable[..., Any]], state: State[Any]) -> None:
    run.state = state
    for hook in hooks:
        try:
            answer = hook(run.flow, run, state)
            if inspect.isawaitable(answer):
                _await_elsewhere(answer)
        except Exception:
            log.exception("hook %s of flow %s failed", getattr(hook, "__name__", hook), run.flow.name)


def _await_elsewhere(awaitable: Any) -> None:
    """Run an async hook to its end in a loop and thread of its own: this thread may have a running loop."""
    import concurrent.futures

    async def outer() -> None:
        await awaitable

    with concurrent.futures.ThreadPoolExecutor(1) as one:
        one.submit(asyncio.run, outer()).result()


class _around:
    """What is true while a flow runs: it can be asked for, its tasks have a runner, its prints and logs are kept."""

    def __init__(self, run: FlowRun, stop: bool = True) -> None:
        self._run, self._stop = run, stop
        self._stack = ExitStack()

    def __enter__(self) -> TaskRunner:
        run = self._run
        token = current_flow_run.set(run)
        self._stack.callback(current_flow_run.reset, token)
        attempt_token = current_attempt.set(None)  # a flow inside a task: its tasks belong to the flow
        self._stack.callback(current_attempt.reset, attempt_token)
        tags_token = current_tags.set(run.tags)
        self._stack.callback(current_tags.reset, tags_token)
        if run.flow.options.log_prints:
            self._stack.enter_context(logging_prints())
        run.task_runner.start()
        return run.task_runner

    def __exit__(self, kind: type[BaseException] | None, *exc_info: Any) -> None:
        try:
            if self._stop:
                self._run.task_runner.stop(at_once=kind is not None and not issubclass(kind, Exception))
        finally:
            self._stack.close()
