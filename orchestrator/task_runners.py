"""Who runs the calls that a flow submits: the fleet (the default), threads or processes of this machine."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.context import current_flow_run
from orchestrator.direct import attempt_for, futures_in, run_here, run_here_async, with_results
from orchestrator.errors import ConfigurationError, UpstreamTaskError
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.ids import new_run_id
from orchestrator.states import Cancelled, Crashed, Pending, State

if TYPE_CHECKING:
    from orchestrator.binding import Arguments, Rows
    from orchestrator.tasks import Task

log = logging.getLogger("orchestrator.task_runners")


class TaskRunner(Protocol):
    """Runs calls. A flow starts it, and stops it when it ends."""

    def submit(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
    ) -> PrefectFuture[Any]:
        """Run one call."""

    def map(
        self, task: Task[..., Any], rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        """Run one call per row of arguments."""

    def start(self) -> None:
        """A flow begins."""

    def stop(self, at_once: bool = False) -> None:
        """The flow has ended; ``at_once`` when it was stopped from outside (Ctrl-C): nothing is waited for then."""

    def duplicate(self) -> TaskRunner:
        """A fresh one of the same kind, for another flow run."""


class FleetTaskRunner:
    """Calls go to the queues; workers anywhere run them (ours, the default).

    On the private server of this user, with no live worker that knows the flow's tasks, the flow brings its own
    worker threads and keeps its calls to itself; should it die, they go to the common queue.

    Args:
        local_workers: "auto" as described, or "never". The setting decides unless given.
    """

    def __init__(self, local_workers: str | None = None) -> None:
        self._local_workers = local_workers
        self._decided = False
        self._told = False  # whether the store knows of the flow run
        self._local: Any = None
        self._flushed: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def duplicate(self) -> FleetTaskRunner:
        return FleetTaskRunner(self._local_workers)

    def start(self) -> None:
        """Nothing is opened before the first call."""

    def stop(self, at_once: bool = False) -> None:
        """Send what waits. With workers of its own, the flow waits until they have done its calls.

        At once: those calls are cancelled. Calls on the fleet go on either way.
        """
        if self._flushed is not None:
            self._flushed()
        if self._local is not None:
            self._local.abandon() if at_once else self._local.finish()
            self._local = None
            self._decided = False

    def submit(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
    ) -> PrefectFuture[Any]:
        return self.map(task, [(args, kwargs)], wait_for)[0]

    def map(
        self, task: Task[..., Any], rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        from orchestrator.calls import send_calls

        run = current_flow_run.get()
        if run is not None and not self._decided:
            self._decide(task)
        futures = send_calls(task, rows, wait_for, soon=run is not None)
        if run is not None and not self._told:
            self._told = True
            run.note(run.state)  # from here on others see its calls: let them see whose
        if self._local is not None:
            self._local.expect(task, futures)
        return futures

    def _decide(self, task: Task[..., Any]) -> None:
        """Whether this flow needs workers of its own, found out once, at its first call."""
        from orchestrator.fleet import current_fleet
        from orchestrator.local_workers import local_workers_for

        with self._lock:
            if not self._decided:
                fleet = current_fleet()
                self._flushed = fleet.sender.flush
                wanted = self._local_workers or fleet.settings.local_workers
                self._local = local_workers_for(fleet, task) if wanted == "auto" else None
                self._decided = True


class _LocalSource:
    """Ends of runs that this process runs by itself."""

    def __init__(self, cancel: Callable[[str], bool]) -> None:
        self._cancel = cancel

    def attach(self, futures: list[PrefectFuture[Any]]) -> None:
        """They are settled by the thread that runs them."""

    def latest_state(self, run_id: str) -> State[Any]:
        return Pending(task_run_id=run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        return [self._cancel(run_id) for run_id in run_ids]

    def still_waiting(self, futures: list[PrefectFuture[Any]]) -> None:
        """It is known what they wait for: free threads."""


class _LocalTaskRunner(ABC):
    """What the runners of this machine share: dependencies wait without occupying a thread."""

    def __init__(self, max_workers: int | None) -> None:
        if max_workers is not None and (not isinstance(max_workers, int) or max_workers < 1):
            raise ValueError(f"max_workers={max_workers!r} must be a whole number, 1 or more")
        self._max_workers = max_workers
        self._executor: concurrent.futures.Executor | None = None
        self._open: dict[str, PrefectFuture[Any]] = {}
        self._queued: dict[str, concurrent.futures.Future[Any]] = {}
        self._source = _LocalSource(self._cancel)

    def start(self) -> None:
        """A flow begins; the executor is made at its first call."""
        return None

    def stop(self, at_once: bool = False) -> None:
        """The flow has ended: its calls are waited for, as leaving an executor does. At once: they are cancelled."""
        for future in list(self._open.values()):
            future.cancel() if at_once else future.wait()
        if self._executor is not None:
            self._executor.shutdown(wait=not at_once, cancel_futures=at_once)
            self._executor = None

    @abstractmethod
    def _make_executor(self) -> concurrent.futures.Executor:
        """Where the calls run."""

    @abstractmethod
    def _enqueue(
        self, future: PrefectFuture[Any], task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[State[Any]]:
        """Have one call run there, now that what it waits for has ended."""

    def map(
        self, task: Task[..., Any], rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        """One call per row of arguments."""
        waits = list(wait_for) if wait_for is not None else None
        checked = list(rows)  # nothing is started when one of them does not fit
        return PrefectFutureList(self.submit(task, args, kwargs, waits) for args, kwargs in checked)

    def submit(
        self, task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any], wait_for: Iterable[Any] | None = None
    ) -> PrefectFuture[Any]:
        """Run a call when the futures among its arguments have settled."""
        if self._executor is None:
            self._executor = self._make_executor()
        future: PrefectFuture[Any] = PrefectFuture(new_run_id(), source=self._source)
        self._open[future.run_id] = future
        future.add_done_callback(lambda settled: self._open.pop(settled.run_id, None))
        waits = list(wait_for) if wait_for is not None else []
        upstreams = [upstream for upstream in futures_in((args, kwargs, waits)) if not upstream.settled]
        left = len(upstreams)
        context = copy_context()
        lock = threading.Lock()

        def one_less(settled: PrefectFuture[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                ready = left == 0
            if ready:
                context.run(self._release, future, task, args, kwargs, waits)

        if not upstreams:
            self._release(future, task, args, kwargs, waits)
        for upstream in upstreams:
            upstream.add_done_callback(one_less)
        return future

    def _release(
        self,
        future: PrefectFuture[Any],
        task: Task[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        waits: list[Any],
    ) -> None:
        try:
            args, kwargs = with_results(args, kwargs, waits)
        except UpstreamTaskError as error:
            message = f"run {future.run_id} was not started: {error}"
            future.settle_state(Pending(name="NotReady", message=message, data=error, task_run_id=future.run_id))
            return
        if future.settled:  # cancelled meanwhile
            return
        try:
            queued = self._enqueue(future, task, args, kwargs)
        except Exception as error:
            future.settle_state(Crashed(message=f"could not be run: {error}", data=error, task_run_id=future.run_id))
            return
        self._queued[future.run_id] = queued
        queued.add_done_callback(lambda done: self._settle(future, done))

    def _settle(self, future: PrefectFuture[Any], done: concurrent.futures.Future[State[Any]]) -> None:
        self._queued.pop(future.run_id, None)
        if done.cancelled():
            future.settle_state(Cancelled(message="cancelled before it started", task_run_id=future.run_id))
            return
        error = done.exception()
        if error is None:
            future.settle_state(done.result())
        else:
            future.settle_state(
                Crashed(message=f"the process that ran it failed: {error}", data=error, task_run_id=future.run_id)
            )

    def _cancel(self, run_id: str) -> bool:
        queued, future = self._queued.get(run_id), self._open.get(run_id)
        if queued is not None:
            return queued.cancel()
        if future is None:
            return False
        future.settle_state(Cancelled(message="cancelled before it started", task_run_id=run_id))
        return True


class ThreadPoolTaskRunner(_LocalTaskRunner):
    """Calls run in threads of this process and share its memory; no server is needed.

    Args:
        max_workers: how many threads (default: as ``concurrent.futures`` decides).

    Follows Prefect 3 (``prefect.task_runners.ThreadPoolTaskRunner``).
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers)

    def duplicate(self) -> ThreadPoolTaskRunner:
        return ThreadPoolTaskRunner(self._max_workers)

    def _make_executor(self) -> concurrent.futures.Executor:
        return concurrent.futures.ThreadPoolExecutor(self._max_workers, thread_name_prefix="task-runner")

    def _enqueue(
        self, future: PrefectFuture[Any], task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[State[Any]]:
        assert self._executor is not None
        context = copy_context()
        attempt = attempt_for(task, future.run_id, args, kwargs)
        if not task.isasync:
            return self._executor.submit(context.run, run_here, attempt)

        def run_loop() -> State[Any]:
            import asyncio

            return asyncio.run(run_here_async(attempt))

        return self._executor.submit(context.run, run_loop)


ConcurrentTaskRunner = ThreadPoolTaskRunner


class ProcessPoolTaskRunner(_LocalTaskRunner):
    """Calls run in processes of this machine; arguments and results are pickled (cloudpickle).

    Args:
        max_workers: how many processes (default: one per core).

    Follows Prefect 3 (``prefect.task_runners.ProcessPoolTaskRunner``).
    """

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers)

    def duplicate(self) -> ProcessPoolTaskRunner:
        return ProcessPoolTaskRunner(self._max_workers)

    def _make_executor(self) -> concurrent.futures.Executor:
        import multiprocessing

        spawn = multiprocessing.get_context("spawn")  # never fork: this process has threads
        return concurrent.futures.ProcessPoolExecutor(self._max_workers, mp_context=spawn)

    def _enqueue(
        self, future: PrefectFuture[Any], task: Task[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[State[Any]]:
        import cloudpickle

        assert self._executor is not None
        flow_run = current_flow_run.get()
        surroundings = (future.run_id, flow_run.run_id if flow_run else None)
        call = cloudpickle.dumps((type(task), task.fn, task.options, task.task_key, list(args), kwargs, surroundings))
        done: concurrent.futures.Future[State[Any]] = concurrent.futures.Future()

        def unpack(packed: concurrent.futures.Future[bytes]) -> None:
            try:
                done.set_result(cloudpickle.loads(packed.result()))
            except BaseException as error:
                done.set_exception(error)

        self._executor.submit(_run_in_process, call).add_done_callback(unpack)
        return done


def _run_in_process(call: bytes) -> bytes:
    import asyncio

    import cloudpickle

    from orchestrator.engine import Attempt
    from orchestrator.result_cache import LocalCache

    kind, fn, options, key, args, kwargs, (run_id, flow_run_id) = cloudpickle.loads(call)
    task = kind(fn, options, task_key=key)
    attempt = Attempt(task, run_id, args, kwargs, flow_run_id=flow_run_id, cache=LocalCache())
    state = asyncio.run(run_here_async(attempt)) if task.isasync else run_here(attempt)
    packed: bytes = cloudpickle.dumps(state)
    return packed


_outside_flows = FleetTaskRunner()


def runner_here() -> TaskRunner:
    """The runner of the flow around this line; outside flows the fleet (Prefect refuses there)."""
    flow_run = current_flow_run.get()
    return flow_run.task_runner if flow_run is not None else _outside_flows


_for_every_flow: TaskRunner | None = None


@contextmanager
def every_flow_uses(runner: TaskRunner) -> Iterator[None]:
    """Inside the block every flow of this process gets a duplicate of this runner, whatever it asks for (tests)."""
    global _for_every_flow
    before, _for_every_flow = _for_every_flow, runner
    try:
        yield
    finally:
        _for_every_flow = before


def runner_for_flow(chosen: TaskRunner | type | None) -> TaskRunner:
    """A runner of its own for one flow run: of the kind that the flow chose, else what the settings say."""
    chosen = _for_every_flow or chosen
    if chosen is None:
        return default_task_runner()
    runner: TaskRunner = chosen() if isinstance(chosen, type) else chosen.duplicate()
    return runner


def default_task_runner() -> TaskRunner:
    """What the setting ``task_runner`` says."""
    from orchestrator.settings import current

    name = current().task_runner
    makers: dict[str, Callable[[], TaskRunner]] = {
        "fleet": FleetTaskRunner,
        "threads": ThreadPoolTaskRunner,
        "processes": ProcessPoolTaskRunner,
    }
    if name not in makers:
        raise ConfigurationError(f"ORCHESTRATOR_TASK_RUNNER={name!r}: one of {', '.join(makers)}")
    return makers[name]()
