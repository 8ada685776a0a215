"""The list of the handles of a map, each of which is made when somebody takes it out of the list."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final, SupportsIndex, TypeVar, cast, overload

from brokers.block_ids import MOST_IN_BLOCK
from orchestrator.client.future import PrefectFuture
from orchestrator.client.future_list import PrefectFutureList, before_methods
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.waiting import EarlyLatch, wait_for_all
from orchestrator.runnables import registry
from orchestrator.states import State

R = TypeVar("R")
_making = threading.RLock()


def _renew_lock_after_fork() -> None:
    global _making
    _making = threading.RLock()  # a thread that does not exist here may hold the old one


os.register_at_fork(after_in_child=_renew_lock_after_fork)


class _NotMade(PrefectFuture[Any]):
    """Stands in the list for handles that are not made. Whoever sees it has read the list past its methods."""

    __slots__ = ()

    def __init__(self) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TypeError(
            "the handles of this map are made when they are taken out of its list, and an extension in C has read it "
            "without asking for them: give it list(futures)"
        )

    def __repr__(self) -> str:
        return "<handle that was not made: use list(futures)>"


_NOT_MADE: Final = _NotMade()


class MapFutureList(PrefectFutureList[R]):
    """The futures of a map, in input order. What needs no handles makes none; the rest of a list's methods make all.

    ``len`` is that of a list: in the place of a handle that is not made stands something that is none.
    """

    _runs: MapRuns | None = None  # None: all handles are made, and it is a list like any other
    _order: range = range(0)  # which runs of the map its members are: all of them, until somebody changes the list

    @classmethod
    def of(cls, runs: MapRuns) -> MapFutureList[Any]:
        """The handles on all runs of a map."""
        futures = cls(cast("Iterator[PrefectFuture[R]]", repeat(_NOT_MADE, len(runs))))
        futures._runs, futures._order = runs, range(len(runs))
        return futures

    @property
    def whole(self) -> MapRuns | None:
        """All runs of the map, if they are what is in the list: one thing to wait for."""
        runs = self._runs
        return runs if runs is not None and len(self._order) == len(runs) else None

    @property
    def run_ids(self) -> list[str]:
        """The runs behind its members."""
        runs = self._runs
        if runs is None:
            return [future.run_id for future in self]
        return [runs.run_ids[position] for position in self._order]

    def make_all(self) -> None:
        """Have all handles in the list."""
        with _making:  # what another thread puts into the list afterwards stays there
            runs = self._runs
            if runs is not None:
                list.__setitem__(self, slice(None), runs.handles(self._order))
                self._runs = None  # who reads it meanwhile finds the same handles either way

    # -- what waits ----------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> None:
        runs = self.whole
        wait_for_all(self if runs is None else [cast(Any, runs)], timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        runs = self.whole
        if runs is None:
            return super().result(timeout, raise_on_failure)
        if raise_on_failure:
            _wait_failing_fast(runs, timeout)
            failed = runs.not_completed(self._order)
            if failed is not None:
                runs.handle(failed).state.outcome()
        else:
            self.wait(timeout)
        if runs.ends.left:
            raise TimeoutError(f"{runs.ends.left} of {len(runs)} runs have not ended within {timeout} s; they go on")
        registry.learn_types()
        found = runs.results(raise_on_failure)
        return found if self._order.step > 0 else found[::-1]

    @property
    def states(self) -> list[State[Any]]:
        runs = self._runs
        if runs is None:
            return [future.state for future in self]
        registry.learn_types()
        return [runs.state_of(position) for position in self._order]

    # -- what makes the handles that it is asked for --------------------------------------------------------------

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> PrefectFuture[R]: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[PrefectFuture[R]]: ...

    def __getitem__(self, index: Any, /) -> Any:
        runs = self._runs
        if runs is None or not (isinstance(index, slice) or hasattr(index, "__index__")):
            return list.__getitem__(self, index)
        try:
            found = self._order[index]
        except IndexError:
            raise IndexError("list index out of range") from None
        return runs.handles(found) if isinstance(found, range) else runs.handle(found)

    def __iter__(self) -> Iterator[PrefectFuture[R]]:
        at = 0
        while at < len(self):
            runs, order = self._runs, self._order
            if runs is None:
                yield self[at]
                at += 1
                continue
            for future in runs.handles(order[at : at + MOST_IN_BLOCK]):
                yield future
                at += 1
                if self._order is not order or self._runs is not runs:
                    break  # the list was changed meanwhile

    def __reversed__(self) -> Iterator[PrefectFuture[R]]:
        at = len(self) - 1
        while at >= 0:
            if at < len(self):
                yield self[at]
            at -= 1

    def __contains__(self, item: object) -> bool:
        runs = self._runs
        if runs is None or not isinstance(item, PrefectFuture):
            return any(one is item or one == item for one in self)
        return runs.run_ids.position(item.run_id) in self._order

    def copy(self) -> list[PrefectFuture[R]]:
        return list(self)

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> Any:
        return PrefectFutureList, (list(self),)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return self.__reduce__()

    # -- what takes from an end, or turns the list round -----------------------------------------------------------

    def __delitem__(self, index: Any, /) -> None:
        if self._runs is not None:
            left = _without(self._order, index)
            if left is not None:
                list.__delitem__(self, index)
                self._order = left
                return
            self.make_all()
        list.__delitem__(self, index)

    def pop(self, index: SupportsIndex = -1, /) -> PrefectFuture[R]:
        if self._runs is None or not -len(self) <= operator.index(index) < len(self):
            return list.pop(self, index)  # which raises
        future = self[index]
        del self[index]
        return future

    def clear(self) -> None:
        list.clear(self)
        self._runs = None

    def reverse(self) -> None:
        if self._runs is None:
            list.reverse(self)
        else:
            self._order = self._order[::-1]

    # -- what makes all handles ------------------------------------------------------------------------------------

    def __radd__(self, other: Any) -> Any:
        self.make_all()
        return NotImplemented  # now the other list can read this one


def _without(order: range, index: Any) -> range | None:
    """What is left of an order without some of it; ``None`` where the rest is no range, or nothing can be deleted."""
    places = range(len(order))
    try:
        chosen = places[index] if isinstance(index, slice) else places[index : (index + 1) or None]
    except TypeError:
        return None
    if not chosen:
        return order if isinstance(index, slice) else None
    chosen = chosen if chosen.step > 0 else chosen[::-1]
    if chosen.step != 1 and len(chosen) > 1:
        return None
    if chosen[0] == 0:
        return order[len(chosen) :]
    return order[: chosen[0]] if chosen[-1] == places[-1] else None


def _wait_failing_fast(runs: MapRuns, timeout: float | None) -> None:
    latch = EarlyLatch()

    def look(positions: Any) -> None:
        if runs.not_completed(positions) is not None:
            latch.open_early()

    with runs.notifying(look):
        wait_for_all([cast(Any, runs)], timeout, early=latch)


def _make_all(*lists: Any) -> None:
    """Also those of lists that a method is given: it reads them past their own methods."""
    for futures in lists:
        if isinstance(futures, MapFutureList):
            futures.make_all()


before_methods(
    MapFutureList,
    _make_all,
    *("__setitem__", "__add__", "__iadd__", "__mul__", "__rmul__", "__imul__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"),
    *("append", "count", "extend", "index", "insert", "remove", "sort"),
)
