"""What the task runners of this machine share: dependencies wait without occupying a thread."""

from __future__ import annotations

import concurrent.futures
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from orchestrator.client.handles import Handle
from orchestrator.errors import UpstreamTaskError
from orchestrator.execution.inline import futures_in, with_results
from orchestrator.futures import LocalFuture, PrefectFuture, PrefectFutureList
from orchestrator.runs.run_ids import new_run_id
from orchestrator.states import Cancelled, Crashed, Pending, Running, State
from orchestrator.task_runners.base import StartedByWith, arguments_of_call

if TYPE_CHECKING:
    from orchestrator.runnables.binding import Arguments, Rows
    from orchestrator.runnables.protocols import TaskLike


class _LocalSource:
    """Ends of runs that this process runs by itself."""

    def __init__(self, cancel: Callable[[str], bool], runs_now: Callable[[str], bool]) -> None:
        self._cancel, self._runs_now = cancel, runs_now

    def attach(self, futures: Sequence[Handle]) -> None:
        """They are settled by the thread that runs them."""

    def latest_state(self, run_id: str) -> State[Any]:
        return (Running if self._runs_now(run_id) else Pending)(task_run_id=run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        return [self._cancel(run_id) for run_id in run_ids]

    def still_waiting(self, futures: Sequence[Handle]) -> None:
        """It is known what they wait for: free threads."""

    def look_for_standstill(self, futures: Sequence[Handle], any_of: bool) -> bool:
        """They hold no places under limits."""
        return False

    def stop_watching(self, futures: Sequence[Handle]) -> None:
        """Nothing is kept for those who wait."""


class LocalTaskRunner(StartedByWith, ABC):
    """Runs calls by an executor of this machine, each when what it depends on has ended."""

    def __init__(self, max_workers: int | None) -> None:
        if max_workers is not None and (not isinstance(max_workers, int) or max_workers < 1):
            raise ValueError(f"max_workers={max_workers!r} must be a whole number, 1 or more")
        self._max_workers = max_workers
        self._executor: concurrent.futures.Executor | None = None
        self._open: dict[str, PrefectFuture[Any]] = {}
        self._queued: dict[str, concurrent.futures.Future[Any]] = {}
        self._source = _LocalSource(self._cancel, self._runs_now)

    def start(self) -> None:
        """A flow begins; the executor is made at its first call."""
        return None

    def stop(self, at_once: bool = False) -> None:
        """The flow has ended: its calls are waited for, as leaving an executor does. At once: they are cancelled."""
        for future in list(self._open.values()):
            future.cancel() if at_once else future.wait()
        executor = self._executor
        if executor is not None:
            executor.shutdown(wait=not at_once, cancel_futures=at_once)
            self._executor = None

    @abstractmethod
    def _make_executor(self) -> concurrent.futures.Executor:
        """Where the calls run."""

    @abstractmethod
    def _enqueue(
        self, future: PrefectFuture[Any], task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[Any]:
        """Have one call run there, now that what it waits for has ended."""

    def map(
        self, task: TaskLike, rows: Rows | Sequence[Arguments], wait_for: Iterable[Any] | None = None
    ) -> PrefectFutureList[Any]:
        """One call per row of arguments."""
        waits = list(wait_for) if wait_for is not None else None
        checked = list(rows)  # nothing is started when one of them does not fit
        return PrefectFutureList(self.submit(task, args, kwargs, waits) for args, kwargs in checked)

    def submit(
        self,
        task: TaskLike,
        args: Sequence[Any] | Mapping[str, Any] = (),
        kwargs: dict[str, Any] | None = None,
        wait_for: Iterable[Any] | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> PrefectFuture[Any]:
        """Run a call when the futures among its arguments have settled."""
        args, kwargs = arguments_of_call(task, args, kwargs, parameters)
        if self._executor is None:
            self._executor = self._make_executor()
        future: PrefectFuture[Any] = LocalFuture(new_run_id(), source=self._source)
        self._open[future.run_id] = future
        future._on_end(lambda settled: self._open.pop(settled.run_id, None))
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
            upstream._watch_end(one_less)
        return future

    def _release(
        self,
        future: PrefectFuture[Any],
        task: TaskLike,
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
        queued.add_done_callback(lambda done: self._settle_and_forget(future, done))

    def _settle_and_forget(self, future: PrefectFuture[Any], done: concurrent.futures.Future[Any]) -> None:
        try:
            self._settle(future, done)
        finally:
            self._queued.pop(future.run_id, None)

    def _settle(self, future: PrefectFuture[Any], done: concurrent.futures.Future[Any]) -> None:
        if done.cancelled():
            future.settle_state(Cancelled(message="cancelled before it started", task_run_id=future.run_id))
            return
        try:
            future.settle_state(self._state_of(done))
        except BaseException as error:
            state = Crashed(message=f"the process that ran it failed: {error}", data=error, task_run_id=future.run_id)
            if self._was_stopped(done):
                state = Cancelled(message="cancelled; its process was killed", task_run_id=future.run_id)
            future.settle_state(state)

    def _state_of(self, done: concurrent.futures.Future[Any]) -> State[Any]:
        """How a call ended. Raises what the executor says when it failed to run it."""
        state: State[Any] = done.result()
        return state

    def _stop_running(self, queued: concurrent.futures.Future[Any]) -> bool:
        """Stop a call that runs. Whether that is possible."""
        return False

    def _was_stopped(self, done: concurrent.futures.Future[Any]) -> bool:
        return False

    def _runs_now(self, run_id: str) -> bool:
        queued = self._queued.get(run_id)
        return queued is not None and (queued.running() or queued.done())  # done: about to be settled

    def _cancel(self, run_id: str) -> bool:
        queued, future = self._queued.get(run_id), self._open.get(run_id)
        if queued is not None:
            return queued.cancel() or self._stop_running(queued)
        if future is None:
            return False
        future.settle_state(Cancelled(message="cancelled before it started", task_run_id=run_id))
        return True
