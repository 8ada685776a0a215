"""``map`` over what is not there yet: ``double.map(numbers.submit())``.

A future (or a state, or another deferred map) among the arguments of ``map`` is resolved, then mapped. On the fleet
nothing waits for it here: one call, the *expansion*, waits in the store like any call with dependencies, and a worker
that runs it sends the calls of the map, in no time. So nobody's slot is held, and whoever called ``map`` may be gone.
An expansion that is run again (its worker died) sends the same ids, which the store skips.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from orchestrator import serializers
from orchestrator.client.fleet import current_fleet
from orchestrator.client.future_list import before_methods
from orchestrator.client.handles import Handle
from orchestrator.errors import UnknownTask, UpstreamTaskError
from orchestrator.futures import PrefectFuture, PrefectFutureList
from orchestrator.runnables import registry
from orchestrator.runnables.annotations import allow_failure, unmapped
from orchestrator.runnables.binding import is_mapped, rows_of
from orchestrator.runs.current import current_attempt
from orchestrator.runs.run_ids import derived_run_id, new_run_id
from orchestrator.states import Pending, State
from orchestrator.submission.envelopes import EnvelopeBuilder
from orchestrator.submission.packed_calls import PackedCalls

if TYPE_CHECKING:
    from orchestrator.runnables.protocols import TaskLike

R = TypeVar("R")
_MAPPED, _SAME, _RUNS = "m", "c", "r"  # what the expansion makes of an argument: goes through it, repeats it, reads ids
_lock = threading.Lock()


class DeferredFutureList(PrefectFutureList[R]):
    """The futures of a map whose length is not known yet. Whoever asks for them waits until it is.

    If what is mapped does not complete, it holds one future: the expansion's, which is NotReady.
    """

    _expansion: PrefectFuture[list[str]] | None = None

    @classmethod
    def behind(cls, expansion: PrefectFuture[list[str]]) -> DeferredFutureList[R]:
        """The futures of the runs whose ids ``expansion`` returns."""
        futures: DeferredFutureList[R] = cls()
        futures._expansion = expansion
        return futures

    @property
    def expansion(self) -> PrefectFuture[list[str]] | None:
        """The run that sends the calls; ``None`` once they are known here."""
        return self._expansion

    def expand(self, timeout: float | None = None) -> bool:
        """Wait until the calls are known, at most ``timeout`` seconds; whether they are."""
        expansion = self._expansion
        if expansion is None:
            return True
        expansion.wait(timeout)
        if not expansion.settled:
            return False
        state = expansion.state
        run_ids: Any = state.outcome() if state.is_completed() else ()
        with _lock:
            if self._expansion is not None:
                if state.is_completed():
                    source = expansion.source
                    list.extend(self, [PrefectFuture(run_id, source=source) for run_id in run_ids])
                else:
                    list.append(self, cast("PrefectFuture[R]", expansion))
                self._expansion = None
        return True

    def wait(self, timeout: float | None = None) -> None:
        deadline = _deadline(timeout)
        if self.expand(timeout):
            super().wait(_left(deadline))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        deadline = _deadline(timeout)
        if not self.expand(timeout):
            raise TimeoutError(f"what is mapped has not ended within {timeout} s; it goes on")
        return super().result(_left(deadline), raise_on_failure)

    def __repr__(self) -> str:
        return super().__repr__() if self._expansion is None else f"DeferredFutureList(behind {self._expansion!r})"

    def __reduce__(self) -> Any:
        return PrefectFutureList, (list(self),)

    def __radd__(self, other: list[Any]) -> list[Any]:
        return [*other, *self]


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


before_methods(
    DeferredFutureList,
    lambda futures, *others: futures.expand(),
    *("__len__", "__iter__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__reversed__", "__add__"),
    *("__iadd__", "__mul__", "__rmul__", "__imul__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"),
)


# -- where map is called -----------------------------------------------------------------------------------------------


def is_deferred(value: Any) -> bool:
    """Whether ``map`` has to resolve an argument before it can go through it."""
    inner = value.value if isinstance(value, allow_failure) else value
    return isinstance(inner, PrefectFuture | State) or (
        isinstance(inner, DeferredFutureList) and inner.expansion is not None
    )


def futures_to_resolve(values: Sequence[Any]) -> Iterator[PrefectFuture[Any]]:
    """The runs whose ends decide how long a map with these arguments is."""
    for value in values:
        inner = value.value if isinstance(value, allow_failure) else value
        if isinstance(inner, PrefectFuture):
            yield inner
        elif isinstance(inner, DeferredFutureList) and inner.expansion is not None:
            yield inner.expansion


def resolved(value: Any) -> Any:
    """An argument of ``map`` whose runs have ended.

    Raises:
        UpstreamTaskError: its run did not complete, and it is not wrapped in ``allow_failure``.
    """
    if not is_deferred(value):
        return value
    lenient = isinstance(value, allow_failure)
    inner = value.value if lenient else value
    if isinstance(inner, DeferredFutureList):
        inner.expand()
        return allow_failure(list(inner)) if lenient else list(inner)
    state = inner.state if isinstance(inner, PrefectFuture) else inner
    if lenient:
        found = state.result(raise_on_failure=False)
        return allow_failure(found) if is_mapped(found) else found
    if not state.is_completed():
        raise UpstreamTaskError(
            f"map got {state!r}, which did not complete; wrap it in allow_failure()", state.task_run_id
        )
    return state.outcome()


def not_ready(error: UpstreamTaskError) -> PrefectFutureList[Any]:
    """What a map returns whose upstream did not complete: one future in the state NotReady."""
    future: PrefectFuture[Any] = PrefectFuture(new_run_id(), source=_ENDED)
    message = f"the map was not started: {error}"
    future.settle_state(Pending(name="NotReady", message=message, data=error, task_run_id=future.run_id))
    return PrefectFutureList([future])


class _Ended:
    """The source of a future that has settled already."""

    def attach(self, futures: Sequence[Handle]) -> None: ...

    def latest_state(self, run_id: str) -> State[Any]:
        return Pending(task_run_id=run_id)

    def cancel(self, run_ids: list[str]) -> list[bool]:
        return [False for _ in run_ids]

    def still_waiting(self, futures: Sequence[Handle]) -> None: ...

    def look_for_standstill(self, futures: Sequence[Handle], any_of: bool) -> bool:
        return False

    def stop_watching(self, futures: Sequence[Handle]) -> None: ...


_ENDED: Final = _Ended()


def arguments_of_expansion(plan: list[Any], task: TaskLike, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The arguments of the call that sends the calls of a map.

    Args:
        plan: of their frame, see ``envelopes.EnvelopeBuilder.plan``.
        task: what is mapped.
        args, kwargs: what ``map`` was given; they fit the signature.
    """
    bound = task.bound if not (task.binds_class and task.bound[:1] == (task.owner,)) else ()
    columns = [[_SAME, value] for value in bound] + [_column(value) for value in args]
    return [plan, task.name, columns, {name: _column(value) for name, value in kwargs.items()}]


def _column(value: Any) -> list[Any]:
    lenient = isinstance(value, allow_failure)
    inner = value.value if lenient else value
    if isinstance(inner, DeferredFutureList) and inner.expansion is not None:
        return [_RUNS, inner.expansion, lenient]
    if is_deferred(value):
        return [_MAPPED, value, lenient]
    if is_mapped(inner):
        return [_MAPPED, allow_failure(list(inner)) if lenient else list(inner), lenient]
    return [_SAME, value]


# -- where the expansion runs ------------------------------------------------------------------------------------------


def expand(plan: list[Any], name: str, columns: list[list[Any]], named: dict[str, list[Any]]) -> list[str]:
    """Send the calls of a map whose arguments have been resolved; returns their run ids."""
    registry.find(plan[0])  # a worker that does not know the task may not know the types of its arguments either
    attempt = current_attempt.get()
    assert attempt is not None
    rows = rows_of(name, *_columns(columns, named))
    run_ids = [derived_run_id(attempt.run_id, index) for index in range(len(rows))]
    fleet = current_fleet()
    if run_ids:
        fleet.calls.send(PackedCalls(EnvelopeBuilder.of_plan(fleet, plan), rows, run_ids))
    return run_ids


def _columns(columns: list[list[Any]], named: dict[str, list[Any]]) -> tuple[list[Any], dict[str, Any]]:
    return [_read(*column) for column in columns], {name: _read(*column) for name, column in named.items()}


def _read(kind: str, value: Any, lenient: bool = False) -> Any:
    if kind == _SAME:
        return unmapped(value)
    if kind == _RUNS and isinstance(value, list):
        value = [PrefectFuture(run_id) for run_id in value]
    if not is_mapped(value):
        return unmapped(value)
    return allow_failure(value) if lenient else value


def _task_is_not_known_here(task: Any, run: Any, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), UnknownTask)


EXPANSION_OPTIONS: Final[dict[str, Any]] = {
    "name": "map",
    "retries": 100,
    "retry_delay_seconds": 0.2,
    "retry_condition_fn": _task_is_not_known_here,
}
"""Of the task whose runs are expansions: another worker may know what this one does not."""


def _pack_deferred(futures: Any, packing: Any) -> Any:
    return [packing.upstream(future.run_id, False) for future in futures]


serializers.register_replacement(DeferredFutureList, _pack_deferred)
