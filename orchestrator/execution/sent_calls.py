"""Calls that were submitted within a transaction, whose end is waited for, or that are stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from orchestrator.client.waiting import wait_async, wait_for_all
from orchestrator.execution.step import Step
from orchestrator.futures import PrefectFuture

Hook = Callable[..., Any]
HooksOfCalls = tuple[Sequence[Hook], Sequence[Hook]]  # on_rollback, on_commit


class SentCalls:
    """Calls of one task.

    Args:
        futures: theirs; looked at when the transaction ends. The list of a deferred map waits for its calls then.
        hooks: those of their task, which this process calls. None for calls that stage by themselves, because they run
            in threads of this process.
        place: how many transactions had begun within theirs before.

    Attributes:
        completed: how many of them completed; known after its steps.
        number: theirs in the undo log; ``None``: they are not in it.
        undone: how many of their hooks an earlier delivery has called.
    """

    def __init__(self, futures: Iterable[PrefectFuture[Any]], hooks: HooksOfCalls, place: int) -> None:
        self._given = futures
        self.hooks, self.place, self.completed = hooks, place, 0
        self.number: int | None = None
        self.undone = 0

    def end_steps(self) -> Generator[Step, Any, BaseException | None]:
        """Wait for their ends; the first failure."""
        futures = yield from self._futures()
        yield Step(wait_for_all, (futures, None), on_loop=wait_async)
        self._count(futures)
        for future in futures:
            if not future.state.is_completed():
                error = yield Step(future.state.result, (), {"raise_on_failure": False})
                return error if isinstance(error, BaseException) else RuntimeError(f"a call ended {future.state!r}")
        return None

    def stop_steps(self) -> Generator[Step, Any, None]:
        """Cancel those that have not ended, and wait for what becomes of them."""
        futures = yield from self._futures()
        open_ = [future for future in futures if not future.settled]
        for future in open_:
            yield Step(future.cancel, (), None, True)
        if open_:
            yield Step(wait_for_all, (open_, None), on_loop=wait_async)
        self._count(futures)

    def _futures(self) -> Generator[Step, Any, list[PrefectFuture[Any]]]:
        futures: list[PrefectFuture[Any]] = yield Step(list, (self._given,), None, True)
        return futures

    def _count(self, futures: list[PrefectFuture[Any]]) -> None:
        self.completed = sum(future.settled and future.state.is_completed() for future in futures)
