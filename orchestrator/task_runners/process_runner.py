"""The task runner whose calls run in processes of this machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import serializers
from orchestrator.errors import SerializationError
from orchestrator.execution.inline import attempt_for, run_here, run_here_async
from orchestrator.execution.storing import outer_by_setting, storing_for
from orchestrator.futures import PrefectFuture
from orchestrator.observability.run_logs import prints_are_logged
from orchestrator.result_storage.choice import around
from orchestrator.runs.current import current_flow_run
from orchestrator.serializers.pickling import dump_for_a_child
from orchestrator.states import Failed, State
from orchestrator.task_runners.local_runner import LocalTaskRunner

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike


class ProcessPoolTaskRunner(LocalTaskRunner):
    """Calls run in processes of this machine; arguments and results are pickled (cloudpickle).

    A process that dies crashes the call that it ran; the others go on, and the next call gets another process.
    Cancelling a running call kills its process.

    Args:
        max_workers: how many processes (default: one per core).

    Follows Prefect 3 (``prefect.task_runners.ProcessPoolTaskRunner``).
    """

    __module__ = "orchestrator.task_runners"  # a flow that is pickled with its runner names where users import it

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers)

    def duplicate(self) -> ProcessPoolTaskRunner:
        return ProcessPoolTaskRunner(self._max_workers)

    def _make_executor(self) -> concurrent.futures.Executor:
        from orchestrator.task_runners.process_pool import ProcessPlaces

        return ProcessPlaces(self._max_workers)

    def _enqueue(
        self, future: PrefectFuture[Any], task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[Any]:
        assert self._executor is not None
        attempt = attempt_for(task, future.run_id, args, kwargs)
        surroundings = {
            "flow_run_id": attempt.flow_run_id,
            "parent_task_run_id": attempt.parent_task_run_id,
            "tags": list(attempt.tags),
            "flow_parameters_hash": attempt.flow_parameters_hash,
        }
        inherited = prints_are_logged() if task.options.log_prints is None else None
        options = task.options.using(log_prints=inherited) if inherited is not None else task.options
        outer = around(current_flow_run.get()) or outer_by_setting()
        call = dump_for_a_child(
            (type(task), task.fn, options, task.task_key, future.run_id, list(args), kwargs, surroundings, outer)
        )
        return self._executor.submit(_run_in_process, call)

    def _state_of(self, done: concurrent.futures.Future[Any]) -> State[Any]:
        import cloudpickle

        state: State[Any] = cloudpickle.loads(done.result())
        return state

    def _stop_running(self, queued: concurrent.futures.Future[Any]) -> bool:
        from orchestrator.task_runners.process_pool import ProcessPlaces

        return isinstance(self._executor, ProcessPlaces) and self._executor.cancel(queued)

    def _was_stopped(self, done: concurrent.futures.Future[Any]) -> bool:
        from orchestrator.task_runners.process_pool import ProcessPlaces

        return isinstance(self._executor, ProcessPlaces) and self._executor.was_cancelled(done)


def _run_in_process(call: bytes) -> bytes:
    import cloudpickle

    from orchestrator.caching.result_cache import LocalCache
    from orchestrator.execution.attempt import Attempt, RunServices

    kind, fn, options, key, run_id, args, kwargs, surroundings, outer = cloudpickle.loads(call)
    task = kind(fn, options, task_key=key)
    storing = storing_for(task, options, outer)
    attempt = Attempt(task, run_id, args, kwargs, services=RunServices(LocalCache()), storing=storing, **surroundings)
    state = asyncio.run(run_here_async(attempt)) if task.isasync else run_here(attempt)
    return _packed(state)


def _packed(state: State[Any]) -> bytes:
    """The end of a call, for the process that wants it; a result that cannot be pickled fails the call."""
    try:
        return dump_for_a_child(state)
    except Exception as error:
        if isinstance(state.data, BaseException):
            as_sent = serializers.unpack_exception(serializers.pack_exception(state.data))
            return dump_for_a_child(state.copy(data=as_sent))
        failure = SerializationError(f"the result cannot be pickled: {type(error).__name__}: {error}")
        return dump_for_a_child(Failed(message=str(failure), data=failure, task_run_id=state.task_run_id))
