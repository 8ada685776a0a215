"""Handles on runs: ask for the state, wait, get the result, cancel.

A future is settled once, by whoever learns of the end first: the inbox of this process (runs on the fleet) or the
thread that ran the call (local task runners). Nothing polls: waiting is one lock per waiter, however many futures.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, overload
from uuid import UUID

from orchestrator import lending, registry, serializers
from orchestrator.nested import replace_nested
from orchestrator.outcomes import read_outcome
from orchestrator.states import State, settle_states
from orchestrator.waiting import Callback, EarlyLatch, attach, wait_async, wait_for_all

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")
log = logging.getLogger("orchestrator.futures")
_lock = threading.Lock()  # guards callbacks of all futures; held for a few bytecodes


def _renew_lock_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that does not exist here may hold the old one


os.register_at_fork(after_in_child=_renew_lock_after_fork)


class Source(Protocol):
    """Where a future's end comes from."""

    def attach(self, futures: list[PrefectFuture[Any]]) -> None:
        """Make sure that these futures will be settled when their runs end."""

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run that has not been settled here."""

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Ask runs to stop; whether there was anything left to stop."""

    def still_waiting(self, futures: list[PrefectFuture[Any]]) -> None:
        """Called once when somebody has waited for a while: say why nothing happens, if it is known."""


class PrefectFuture(serializers.Dependency, Generic[R_co]):
    """A handle on one run.

    It can be kept, pickled, passed to other tasks (as a dependency) and made again from its id in another process::

        future = PrefectFuture("0198c1c3-...")      # waits for, or reads, a run that someone else submitted
        future.result(timeout=10)

    Follows Prefect 3 (``prefect.futures.PrefectFuture``); ``cancel``, ``await`` and making one from an id are ours.

    Args:
        task_run_id: id of a run (UUID or its text).

    Raises:
        ValueError: the id is not a UUID.
    """

    __slots__ = ("_callbacks", "_end", "_source", "_state", "run_id", "watched")

    run_id: str

    def __init__(self, task_run_id: UUID | str, *, source: Source | None = None) -> None:
        self.run_id = (
            task_run_id if source is not None and isinstance(task_run_id, str) else str(UUID(str(task_run_id)))
        )
        self._source = source
        self.watched = False  # the call was sent with this process's inbox on it: no need to register again
        self._end: bytes | None = None  # the status and the outcome in one: a map has many of them
        self._state: State[Any] | None = None
        self._callbacks: list[Callback] | None = None

    # -- settled by the source -----------------------------------------------------------------------------------

    def settle(self, status: bytes, outcome: bytes) -> None:
        """The run has ended so (from the store); read when someone asks. Later ends are ignored."""
        self._finish(status + outcome, None)

    def settle_state(self, state: State[Any]) -> None:
        """The run has ended in this state (known as an object)."""
        self._finish(None, state)

    def _finish(self, end: bytes | None, state: State[Any] | None) -> None:
        with _lock:
            if self._end is not None or self._state is not None:
                return
            self._end, self._state = end, state
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            _call_back(callback, self)

    def move_to(self, source: Source) -> None:
        """Another source looks after this run now."""
        self._source, self.watched = source, False

    def reopen(self) -> None:
        """Forget the end: the run was given another life (replay). Whoever waits next asks the store again,

        since the second end may have come, and been dropped as news of a settled run, before this was called.
        """
        with _lock:
            self._end = self._state = None
            self.watched = False

    @property
    def settled(self) -> bool:
        """Whether the end is known here."""
        return self._end is not None or self._state is not None

    def _on_end(self, callback: Callback) -> None:
        with _lock:
            if not self.settled:
                if self._callbacks is None:
                    self._callbacks = [callback]
                else:
                    self._callbacks.append(callback)
                return
        _call_back(callback, self)

    def _forget(self, callback: Callback) -> None:
        with _lock:
            if self._callbacks and callback in self._callbacks:
                self._callbacks.remove(callback)

    # -- what users ask ------------------------------------------------------------------------------------------

    @property
    def task_run_id(self) -> UUID:
        """The id of the run."""
        return UUID(self.run_id)

    @property
    def source(self) -> Source:
        """Where the end comes from; the fleet of this process unless a local task runner made the future."""
        if self._source is None:
            from orchestrator.fleet import current_fleet

            self._source = current_fleet()
        return self._source

    @property
    def state(self) -> State[Any]:
        """The latest known state; asks the store while the run has not ended."""
        if self._state is None and self._end is not None:
            registry.learn_types()
            self._state = read_outcome(self.run_id, self._end[:1], self._end[1:])
        return self._state if self._state is not None else self.source.latest_state(self.run_id)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the run has ended, at most ``timeout`` seconds; never raises because of the time."""
        if not self.settled:
            wait_for_all([self], timeout)

    @overload
    def result(self, timeout: float | None = None) -> R_co: ...

    @overload
    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co | BaseException: ...

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co | BaseException:
        """What the task returned, waiting for it at most ``timeout`` seconds.

        Raises:
            TimeoutError: the run has not ended in time; it goes on.
            BaseException: what the task raised, as its own type, with the remote traceback as ``__cause__``.
            RunCancelled, RunCrashed, UpstreamTaskError: see :meth:`orchestrator.states.State.result`.
        """
        self.wait(timeout)
        if not self.settled:
            raise TimeoutError(f"run {self.run_id} has not ended within {timeout} s; it goes on ({self.state!r})")
        return self.state.result(raise_on_failure)

    def add_done_callback(self, fn: Callback) -> None:
        """Call ``fn(future)`` when the run has ended; at once if it has. Errors in ``fn`` are logged."""
        self._on_end(fn)
        if not self.settled:
            self.source.attach([self])

    def cancel(self) -> bool:
        """Ask the run to stop: a queued one ends at once, a running one is interrupted. Durable once it returns.

        Returns:
            False when the run had ended already or is unknown.
        """
        return not self.settled and self.source.cancel([self.run_id])[0]

    def __await__(self) -> Generator[Any, None, R_co]:
        return self._await().__await__()

    async def _await(self) -> R_co:
        if not self.settled:
            await wait_async([self])
        return self.state.result()  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Callable[[str], PrefectFuture[Any]], tuple[str]]:
        return PrefectFuture, (self.run_id,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrefectFuture) and other.run_id == self.run_id

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        return f"PrefectFuture({self.run_id})"


def _call_back(callback: Callback, future: PrefectFuture[Any]) -> None:
    try:
        callback(future)
    except Exception:
        log.exception("a done callback of run %s failed", future.run_id)


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
        return [future.state.result(raise_on_failure) for future in self]

    @property
    def states(self) -> list[State[Any]]:
        """The latest known states, in input order."""
        return [future.state for future in self]


def _raise_if_open(futures: list[PrefectFuture[R]], timeout: float | None) -> None:
    unfinished = sum(not future.settled for future in futures)
    if unfinished:
        raise TimeoutError(f"{unfinished} of {len(futures)} runs have not ended within {timeout} s; they go on")


def _failed(future: PrefectFuture[Any]) -> bool:
    if future._end is not None:
        return future._end[:1] != b"C"
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
        failed[0].state.result()


class DoneAndNotDone(NamedTuple, Generic[R]):
    """What :func:`wait` returns."""

    done: set[PrefectFuture[R]]
    not_done: set[PrefectFuture[R]]


def wait(
    futures: Iterable[PrefectFuture[R]], timeout: float | None = None, *, progress: bool = False
) -> DoneAndNotDone[R]:
    """Wait until all runs have ended, or ``timeout`` seconds have passed; never raises because of the time.

    Args:
        futures: handles from ``submit``, ``map`` or ``delay``.
        timeout: seconds.
        progress: draw a bar with counts by state on a terminal, plain lines elsewhere (ours).

    Raises:
        ValueError: the timeout is negative.

    Follows Prefect 3 (``prefect.futures.wait``).
    """
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout={timeout} is negative: give the seconds to wait, or None")
    futures = list(futures)
    if progress:
        from orchestrator.progress_bar import wait_with_bar

        wait_with_bar(futures, timeout)
    else:
        wait_for_all(futures, timeout)
    done = {future for future in futures if future.settled}
    return DoneAndNotDone(done, {future for future in futures if future not in done})


def as_completed(futures: Iterable[PrefectFuture[R]], timeout: float | None = None) -> Iterator[PrefectFuture[R]]:
    """The futures in the order in which their runs end.

    Raises:
        TimeoutError: says how many of how many have not ended within ``timeout`` seconds.

    Follows Prefect 3 (``prefect.futures.as_completed``).
    """
    from queue import Empty, SimpleQueue

    unique = list(dict.fromkeys(futures))
    ended: SimpleQueue[PrefectFuture[R]] = SimpleQueue()
    for future in unique:
        future._on_end(ended.put)
    attach([future for future in unique if not future.settled])
    deadline = None if timeout is None else time.monotonic() + timeout
    for index in range(len(unique)):
        try:
            yield _next_ended(ended, deadline)
        except Empty:
            raise TimeoutError(
                f"{len(unique) - index} of {len(unique)} runs have not ended within {timeout} s; they go on"
            ) from None


def _next_ended(ended: Any, deadline: float | None) -> Any:
    if not ended.empty():
        return ended.get_nowait()
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    with lending.slot_lent():
        return ended.get(timeout=left)


def resolve_futures_to_states(value: Any) -> Any:
    """Replace every future inside a value (lists, dicts, dataclasses, models; any depth) by its final state.

    Follows Prefect 3 (``prefect.futures.resolve_futures_to_states``).
    """
    return _replace_futures(value, lambda future: _waited(future).state)


def resolve_futures_to_results(value: Any) -> Any:
    """Replace every future inside a value (any depth) by its result, or raise its error."""
    return _replace_futures(value, lambda future: future.result())


def _waited(future: PrefectFuture[Any]) -> PrefectFuture[Any]:
    future.wait()
    return future


def _replace_futures(value: Any, replace: Callable[[PrefectFuture[Any]], Any]) -> Any:
    return replace_nested(value, lambda part: replace(part) if isinstance(part, PrefectFuture) else part)


__all__ = [
    "DoneAndNotDone",
    "PrefectFuture",
    "PrefectFutureList",
    "as_completed",
    "resolve_futures_to_results",
    "resolve_futures_to_states",
    "settle_states",
    "wait",
]
