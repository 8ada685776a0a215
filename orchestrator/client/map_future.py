"""A handle on one run of a map, made when somebody asks for it."""

from __future__ import annotations

from typing import Any, TypeVar

from orchestrator.client.future import PrefectFuture
from orchestrator.client.map_runs import MapRuns
from orchestrator.states import State

R = TypeVar("R")


class MapFuture(PrefectFuture[R]):
    """See :class:`orchestrator.futures.PrefectFuture`: it ends when the map knows of its end, and the other way round.

    Args:
        runs: the runs of the map.
        position: which of them.
    """

    __slots__ = ("__weakref__", "_position", "_runs")

    def __init__(self, runs: MapRuns, position: int) -> None:
        self.run_id, self._source, self.watched = runs.run_ids[position], runs.source, runs.watched
        self._runs, self._position, self._callbacks = runs, position, None
        self._end, self._state = runs.kept_end_of(position)

    def _finish(self, end: bytes | None, state: State[Any] | None) -> None:
        self._runs.end_one(self._position, end, state)
        if not self.settled:  # the map knows another end of it, which counts
            self._finish_here(*self._runs.kept_end_of(self._position))

    def _finish_here(self, end: bytes | None, state: State[Any] | None) -> None:
        """The map knows of this end already."""
        super()._finish(end, state)

    def reopen(self) -> None:
        self._runs.reopen(self._position)
        super().reopen()
