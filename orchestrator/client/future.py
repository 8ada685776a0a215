"""Handles on runs: ask for the state, wait, get the result, cancel.

A future is settled once: by the inbox of this process (runs on the fleet) or by the thread that ran the call (local
task runners). Nothing polls: waiting is one lock per waiter, however many futures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from orchestrator import serializers
from orchestrator.client import callbacks as done_callbacks
from orchestrator.client.callbacks import UserCallback, call_back
from orchestrator.client.fleet import current_fleet
from orchestrator.client.handles import EndCallback, Source
from orchestrator.client.waiting import SAY_WHY_AFTER_SECONDS, check_timeout, wait_async, wait_for_all
from orchestrator.runnables import registry
from orchestrator.serializers.outcomes import read_outcome
from orchestrator.states import State

R_co = TypeVar("R_co", covariant=True)
_lock = threading.Lock()  # guards callbacks of all futures; held for a few bytecodes


def _renew_lock_after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that does not exist here may hold the old one


os.register_at_fork(after_in_child=_renew_lock_after_fork)


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
        self._callbacks: list[EndCallback | UserCallback] | None = None

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
        if callbacks:
            self._call_back(callbacks)

    def _settle_only(self, status: bytes, outcome: bytes, callback: EndCallback) -> bool:
        """Settle it without a call of this callback, if it is open and has no other one."""
        with _lock:
            if self.settled or self._callbacks != [callback]:
                return False
            self._end = status + outcome
            self._callbacks = None
            return True

    def _call_back(self, callbacks: list[EndCallback | UserCallback]) -> None:
        """Those of this package here and now: they are quick. Those of users elsewhere: they may wait."""
        by_users = [callback for callback in callbacks if isinstance(callback, UserCallback)]
        for callback in callbacks:
            if not isinstance(callback, UserCallback):
                call_back(callback, self)
        if by_users:
            done_callbacks.threads.run(self, by_users)

    def move_to(self, source: Source) -> None:
        """Another source looks after this run now."""
        self._source, self.watched = source, False

    def reopen(self) -> None:
        """Forget the end: the run was replayed. The next wait asks the store again.

        The second end may have arrived before this call, and been dropped because the future was settled.
        """
        with _lock:
            self._end = self._state = None
            self.watched = False

    @property
    def settled(self) -> bool:
        """Whether the end is known here."""
        return self._end is not None or self._state is not None

    @property
    def _has_callbacks(self) -> bool:
        """Whether somebody is to be called at the end."""
        return bool(self._callbacks)

    @property
    def _status(self) -> bytes | None:
        """The final status, if it came from the store; the outcome need not be read for it."""
        return self._end[:1] if self._end is not None else None

    def _on_end(self, callback: EndCallback) -> None:
        """Call it when the run has ended, in the thread that settles the future: it must neither wait nor raise."""
        if not self._keep(callback):
            call_back(callback, self)

    def _keep(self, callback: EndCallback | UserCallback) -> bool:
        with _lock:
            if self.settled:
                return False
            if self._callbacks is None:
                self._callbacks = [callback]
            else:
                self._callbacks.append(callback)
            return True

    def _watch_end(self, callback: EndCallback) -> None:
        """:meth:`_on_end`, and subscribe to the end of the run."""
        self._on_end(callback)
        if not self.settled:
            self.source.attach([self])

    def _forget(self, callback: EndCallback) -> None:
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
        if timeout is not None:
            check_timeout(timeout)
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
        return self.state.outcome(raise_on_failure)

    def add_done_callback(self, fn: Callable[[PrefectFuture[Any]], Any]) -> None:
        """Call ``fn(future)`` when the run has ended; at once, in this thread, if it has. Errors in ``fn`` are logged.

        Otherwise it runs in a thread of its own kind and may wait, submit, or ask other futures: nothing waits for it
        but the other callbacks of the same future, which are called one after another.
        """
        if not self._keep(UserCallback(fn)):
            return call_back(fn, self, Exception)
        self.source.attach([self])
        if not self.settled:
            done_callbacks.reminder.add(self, SAY_WHY_AFTER_SECONDS)

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
        return await self.state.aresult()  # type: ignore[return-value]

    def __reduce__(self) -> tuple[Callable[..., PrefectFuture[Any]], tuple[Any, ...]]:
        return PrefectFuture, (self.run_id,)

    def __copy__(self) -> PrefectFuture[R_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> PrefectFuture[R_co]:
        return self  # a handle: a copy would never be settled (dataclasses.asdict copies deeply)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrefectFuture) and other.run_id == self.run_id

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        return f"PrefectFuture({self.run_id})"
