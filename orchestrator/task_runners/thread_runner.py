"""The task runner whose calls run in threads of this process."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from orchestrator.client.slot_lending import Place, current_place, follow_threads
from orchestrator.execution.call_context import Surroundings
from orchestrator.execution.inline import attempt_for, run_here, run_here_async
from orchestrator.futures import PrefectFuture
from orchestrator.states import State
from orchestrator.task_runners.local_runner import LocalTaskRunner
from orchestrator.task_runners.thread_pool import LendingExecutor

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike


class ThreadPoolTaskRunner(LocalTaskRunner):
    """Calls run in threads of this process and share its memory; no server is needed.

    Args:
        max_workers: how many calls run at once (default: as ``concurrent.futures`` decides); a call that waits for
            others lends its place to them.

    Follows Prefect 3 (``prefect.task_runners.ThreadPoolTaskRunner``).
    """

    __module__ = "orchestrator.task_runners"  # a flow that is pickled with its runner names where users import it

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(max_workers)

    def duplicate(self) -> ThreadPoolTaskRunner:
        return ThreadPoolTaskRunner(self._max_workers)

    def _make_executor(self) -> concurrent.futures.Executor:
        follow_threads()
        return LendingExecutor(self._max_workers, thread_name_prefix="task-runner")

    def _enqueue(
        self, future: PrefectFuture[Any], task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> concurrent.futures.Future[State[Any]]:
        assert isinstance(self._executor, LendingExecutor)
        context = Surroundings(copy_context()).context()
        place = Place(self._executor)
        context.run(current_place.set, place)
        attempt = attempt_for(task, future.run_id, args, kwargs)

        def run() -> State[Any]:
            try:
                return asyncio.run(run_here_async(attempt)) if task.isasync else run_here(attempt)
            finally:
                if place.close():  # a thread that the call has left behind still waits
                    place.lane.take_back()

        return self._executor.submit(context.run, run)
