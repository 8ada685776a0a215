"""Waiting for several runs: until all have ended, or for one after another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, NamedTuple, TypeVar

from brokers.spans import LONGEST_SECONDS
from orchestrator.client import slot_lending as lending
from orchestrator.client.future import PrefectFuture
from orchestrator.client.map_list import MapFutureList
from orchestrator.client.map_runs import MapRuns
from orchestrator.client.waiting import (
    LOOK_AGAIN_SECONDS,
    SAY_WHY_AFTER_SECONDS,
    attach,
    check_timeout,
    may_stand_still,
    stop_watching,
    wait_for_all,
)
from orchestrator.client.wakers import Woken

R = TypeVar("R")
_INTERRUPTED: Final = object()  # in the place of what has ended


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
    check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    futures = _known_within(futures, timeout)
    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    if progress:
        from orchestrator.client.progress_bar import wait_with_bar

        wait_with_bar(futures, timeout)
    else:
        wait_for_all(futures, timeout)
    done = {future for future in futures if future.settled}
    return DoneAndNotDone(done, {future for future in futures if future not in done})


def _known_within(futures: Iterable[PrefectFuture[R]], timeout: float | None) -> Sequence[PrefectFuture[R]]:
    """The futures; of a map whose length is not known in time, the run that computes its length."""
    if isinstance(futures, MapFutureList):
        return futures  # its handles are made when they are needed
    expand, expansion = getattr(futures, "expand", None), getattr(futures, "expansion", None)
    if expand is not None and expansion is not None and not expand(timeout):
        return [expansion]
    return list(futures)


def as_completed(futures: Iterable[PrefectFuture[R]], timeout: float | None = None) -> Iterator[PrefectFuture[R]]:
    """The futures in the order in which their runs end.

    Raises:
        TimeoutError: says how many of how many have not ended within ``timeout`` seconds.
        ValueError: the timeout is negative.

    Follows Prefect 3 (``prefect.futures.as_completed``).
    """
    check_timeout(timeout)
    return _as_completed(futures, timeout)


def _as_completed(futures: Iterable[PrefectFuture[R]], timeout: float | None) -> Iterator[PrefectFuture[R]]:
    deadline = None if timeout is None else time.monotonic() + timeout
    if isinstance(futures, MapFutureList) and futures.whole is not None:
        yield from _completed_of_map(futures.whole, timeout, deadline)
        return
    unique = list(dict.fromkeys(_known_within(futures, timeout)))
    ended: SimpleQueue[PrefectFuture[R]] = SimpleQueue()
    for future in unique:
        future._on_end(ended.put)
    try:
        attach([future for future in unique if not future.settled])
        for index in range(len(unique)):
            try:
                yield _next_ended(ended, deadline, unique)
            except Empty:
                raise TimeoutError(
                    f"{len(unique) - index} of {len(unique)} runs have not ended within {timeout} s; they go on"
                ) from None
    finally:  # also when the iteration is abandoned
        stop_watching([future for future in unique if not future.settled], ended.put)


def _completed_of_map(runs: MapRuns, timeout: float | None, deadline: float | None) -> Iterator[PrefectFuture[Any]]:
    """The handle on each call of a map as its run ends, made then."""
    ended: SimpleQueue[Sequence[int]] = SimpleQueue()
    given, left = bytearray(len(runs)), len(runs)
    with runs.notifying(ended.put):
        attach([runs])  # type: ignore[list-item]
        while left:
            try:
                positions = _next_ended(ended, deadline, [runs])
            except Empty:
                text = f"{left} of {len(runs)} runs have not ended within {timeout} s; they go on"
                raise TimeoutError(text) from None
            for position in positions:
                if not given[position]:  # a run that was replayed ends twice
                    given[position], left = 1, left - 1
                    yield runs.handle(position)


def _next_ended(ended: SimpleQueue[Any], deadline: float | None, unique: Sequence[Any]) -> Any:
    if not ended.empty():
        return ended.get_nowait()
    with lending.slot_lent():
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if left is not None and left <= SAY_WHY_AFTER_SECONDS:
            return _get(ended, left)
        try:
            return _get(ended, SAY_WHY_AFTER_SECONDS)
        except Empty:
            open_ = [future for future in unique if not future.settled]
            if open_:
                open_[0].source.still_waiting(open_)
        while deadline is None and may_stand_still(unique, any_of=True):
            with contextlib.suppress(Empty):
                return _get(ended, LOOK_AGAIN_SECONDS)
        left = None if deadline is None else min(max(0.0, deadline - time.monotonic()), LONGEST_SECONDS)
        return _get(ended, left)


def _get(ended: SimpleQueue[Any], seconds: float | None) -> Any:
    with Woken(lambda: ended.put(_INTERRUPTED)):
        found = ended.get(timeout=seconds)
    if found is _INTERRUPTED:
        raise Empty
    return found
