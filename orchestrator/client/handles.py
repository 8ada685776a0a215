"""Protocols between a future, what settles it, and those who wait for it, so that none of them imports another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from orchestrator.states import State

EndCallback: TypeAlias = Callable[[Any], Any]
"""Called with a future that has settled."""


def open_run_ids(futures: Iterable[Any]) -> Iterator[str]:
    """The runs that are waited for; a map that is waited for as a whole stands for those of it that have not ended."""
    for future in futures:
        of_map = getattr(future, "open_run_ids", None)
        if of_map is None:
            yield future.run_id
        else:
            yield from of_map()


def count_open(futures: Iterable[Any]) -> int:
    """How many :func:`open_run_ids` there are."""
    return sum(getattr(future, "left", 1) for future in futures)


def run_ids_of(futures: Iterable[Any]) -> Sequence[str]:
    """The runs behind handles, without making those of a map."""
    runs: Any = getattr(futures, "whole", None)
    return [future.run_id for future in futures] if runs is None else runs.run_ids


class Source(Protocol):
    """Where a future's end comes from."""

    def attach(self, futures: Sequence[Any]) -> None:
        """Make sure that these futures will be settled when their runs end."""

    def latest_state(self, run_id: str) -> State[Any]:
        """The state of a run that has not been settled here."""

    def cancel(self, run_ids: list[str]) -> list[bool]:
        """Ask runs to stop; whether there was anything left to stop."""

    def still_waiting(self, futures: Sequence[Any]) -> None:
        """Called once when somebody has waited for a while: say why nothing happens, if it is known."""

    def look_for_standstill(self, futures: Sequence[Any], any_of: bool) -> bool:
        """Called by whoever has waited for a while and has no timeout; whether to call it again after some seconds.

        Raises:
            LimitDeadlock: the wait would never end.
        """

    def stop_watching(self, futures: Sequence[Any]) -> None:
        """Somebody has given up waiting for these: keep no handle that nobody else waits for."""


class Handle(Protocol):
    """A future, as those see it who settle it and wait for it; see :class:`orchestrator.futures.PrefectFuture`.

    Attributes:
        run_id: id of its run.
        watched: the end of the run will come to this process's inbox.
    """

    run_id: str
    watched: bool

    @property
    def settled(self) -> bool:
        """Whether the end is known here."""

    @property
    def state(self) -> State[Any]:
        """The latest known state; may ask the source."""

    @property
    def source(self) -> Source:
        """Where the end comes from."""

    def settle(self, status: bytes, outcome: bytes) -> None:
        """The run has ended so (from the store)."""

    def settle_state(self, state: State[Any]) -> None:
        """The run has ended in this state."""

    def move_to(self, source: Source) -> None:
        """Another source looks after this run now."""

    @property
    def _status(self) -> bytes | None: ...

    @property
    def _has_callbacks(self) -> bool: ...

    def _on_end(self, callback: EndCallback) -> None: ...

    def _settle_only(self, status: bytes, outcome: bytes, callback: EndCallback) -> bool: ...

    def _forget(self, callback: EndCallback) -> None: ...
