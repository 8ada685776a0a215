"""Handles on runs of a local task runner: what is known of them is in this process only."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from orchestrator.client.future import PrefectFuture
from orchestrator.client.handles import Source
from orchestrator.errors import MissingResult

R = TypeVar("R")


class LocalFuture(PrefectFuture[R]):
    """A handle on a run of a local task runner: what it knows is in this process only."""

    __slots__ = ("__weakref__",)

    def __init__(self, task_run_id: str, *, source: Source) -> None:
        super().__init__(task_run_id, source=source)
        _local_futures[task_run_id] = self

    def __reduce__(self) -> tuple[Callable[..., PrefectFuture[Any]], tuple[Any, ...]]:
        return _local_future, (self.run_id, os.getpid())


_local_futures: weakref.WeakValueDictionary[str, LocalFuture[Any]] = weakref.WeakValueDictionary()


def _local_future(run_id: str, pid: int) -> PrefectFuture[Any]:
    """The handle that was pickled, in the process that has it."""
    future = _local_futures.get(run_id)
    if future is None:
        raise MissingResult(
            f"run {run_id} was run by a task runner of process {pid}, and its result is kept there only: pass "
            "future.result(), or run the flow with FleetTaskRunner"
        )
    return future
