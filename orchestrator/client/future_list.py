"""The handles of a map, and the waiting for all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar, overload

from brokers.messages import Status
from orchestrator.client.future import PrefectFuture
from orchestrator.client.waiting import EarlyLatch, wait_for_all
from orchestrator.runnables import registry
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers.outcomes import read_result
from orchestrator.states import State

R = TypeVar("R")
_UNREADABLE: Final = object()


class PrefectFutureList(list[PrefectFuture[R]]):
    """The futures of a map, in input order. Follows Prefect 3 (``prefect.futures.PrefectFutureList``)."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait for all, at most ``timeout`` seconds; never raises because of the time."""
        wait_for_all(self, timeout)

    @overload
    def result(self, timeout: float | None = None) -> list[R]: ...

    @overload
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]: ...

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        """All results in input order; fails as soon as one run has failed.

        Raises:
            TimeoutError: says how many of how many have not ended.
            BaseException: the error of the first run that failed, see :meth:`PrefectFuture.result`.
        """
        if not raise_on_failure:
            self.wait(timeout)
        else:
            _wait_failing_fast(self, timeout)
        _raise_if_open(self, timeout)
        registry.learn_types()
        return [_result_of(future, raise_on_failure) for future in self]

    @property
    def states(self) -> list[State[Any]]:
        """The latest known states, in input order."""
        return [future.state for future in self]


def _result_of(future: PrefectFuture[Any], raise_on_failure: bool) -> Any:
    """What a run that has ended came to; the result of one that completed is read without the rest of its state."""
    end = future._end
    if end is not None and future._state is None and end[:1] == Status.COMPLETED:
        value: Any = _UNREADABLE
        with suppress(Exception):  # the state says what is wrong with it
            value = read_result(future.run_id, end[1:])
        if value is not _UNREADABLE and type(value) is not StoredResult:
            return value
    return future.state.outcome(raise_on_failure)


def _raise_if_open(futures: list[PrefectFuture[R]], timeout: float | None) -> None:
    unfinished = sum(not future.settled for future in futures)
    if unfinished:
        raise TimeoutError(f"{unfinished} of {len(futures)} runs have not ended within {timeout} s; they go on")


def _failed(future: PrefectFuture[Any]) -> bool:
    if future._end is not None:
        return future._end[:1] != Status.COMPLETED
    return future._state is not None and not future._state.is_completed()


def _wait_failing_fast(futures: list[PrefectFuture[Any]], timeout: float | None) -> None:
    failed: list[PrefectFuture[Any]] = []
    latch = EarlyLatch()

    def look(future: PrefectFuture[Any]) -> None:
        if not failed and _failed(future):
            failed.append(future)
            latch.open_early()

    wait_for_all(futures, timeout, also=look, early=latch)
    if failed:
        failed[0].state.outcome()


def before_methods(kind: type[list[Any]], prepare: Callable[..., object], *names: str) -> None:
    """Have these methods of a kind of list begin with a call of ``prepare``: with the list, and what they are given."""

    def prepared(name: str) -> Callable[..., Any]:
        plain = getattr(list, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            prepare(self, *args)
            return plain(self, *args, **kwargs)

        method.__name__, method.__doc__ = name, plain.__doc__
        return method

    for name in names:
        setattr(kind, name, prepared(name))
