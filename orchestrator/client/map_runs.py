"""The runs of a map as one thing to wait for; a handle on one of them is made when somebody asks for it.

One lock guards all maps; under it nothing is called that could wait. Handles that nobody holds are let go: another one
is made when it is asked for again. Whoever has to keep one (it has callbacks) is :class:`OpenFutures`.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from brokers.block_ends import BlockEnds
from brokers.block_ids import ENDINGS, MOST_IN_BLOCK, BlockRunIds
from brokers.messages import Status
from orchestrator.client.callbacks import UserCallback, call_back
from orchestrator.client.handles import EndCallback, Handle, Source
from orchestrator.client.map_ends import MapEnds
from orchestrator.runs.stored_result import StoredResult
from orchestrator.serializers.outcomes import read_outcome, read_result
from orchestrator.states import State

EndsCallback = Callable[[Sequence[int]], None]
"""Called with the positions of runs that have ended: quick, and in any thread."""
_Waiting = tuple[Sequence[EndsCallback], Sequence[EndCallback | UserCallback]]
_COMPLETED: Final = Status.COMPLETED[0]
_NOT_COMPLETED: Final = Status.CRASHED[0]
_AS_BYTES: Final = [bytes((letter,)) for letter in range(256)]
_UNREADABLE: Final = object()
_FEW: Final = 1_000  # references to handles, of which some may have gone
_lock = threading.RLock()


def _renew_lock_after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # a thread that does not exist here may hold the old one


os.register_at_fork(after_in_child=_renew_lock_after_fork)


class MadeHandle(Handle, Protocol):
    """A handle that has been made on one run of a map."""

    _state: State[Any] | None

    def _finish_here(self, end: bytes | None, state: State[Any] | None) -> None: ...


class _MadeHandles:
    """The handles that somebody holds, by position. Under the lock.

    Unlike a ``WeakValueDictionary`` it costs nothing when a handle goes: who goes through a million makes a million.
    """

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[MadeHandle]] = {}
        self._sweep_at = _FEW

    def __bool__(self) -> bool:
        return bool(self._refs)

    def get(self, position: int) -> MadeHandle | None:
        ref = self._refs.get(position)
        return ref() if ref is not None else None

    def add(self, position: int, handle: MadeHandle) -> MadeHandle:
        self._refs[position] = weakref.ref(handle)
        if len(self._refs) > self._sweep_at:
            self._refs = {at: ref for at, ref in self._refs.items() if ref() is not None}
            self._sweep_at = max(_FEW, 2 * len(self._refs))
        return handle

    def among(self, positions: Iterable[int]) -> list[tuple[int, MadeHandle]]:
        return [(position, handle) for position in positions if (handle := self.get(position)) is not None]


class MapRuns:
    """The runs of a map: to those who wait, one handle that settles with the last of them.

    Args:
        run_ids: of all calls.
        source: where their ends come from.
        make: makes the handle on the run at a position.

    Attributes:
        ends: how they have ended.
        watched: all ends will come to this process's inbox.
        attached: positions of runs on which :class:`OpenFutures` keeps handles by their ids.
    """

    __slots__ = (
        *("__weakref__", "_callbacks", "_listeners", "_made", "_states"),
        *("_make", "attached", "ends", "run_ids", "source", "watched"),
    )

    def __init__(self, run_ids: BlockRunIds, source: Source, make: Callable[[MapRuns, int], MadeHandle]) -> None:
        self.run_ids, self.source, self.watched = run_ids, source, False
        self._make = make
        self.ends = MapEnds(run_ids)
        self.attached: set[int] = set()
        self._states: dict[int, State[Any]] = {}  # of runs whose end is known as an object
        self._made = _MadeHandles()
        self._listeners: list[EndsCallback] = []
        self._callbacks: list[EndCallback | UserCallback] = []

    def __len__(self) -> int:
        return len(self.run_ids)

    # -- handles on single runs ----------------------------------------------------------------------------------

    def handle(self, position: int) -> Any:
        """The handle on a run: the same one as long as somebody holds it."""
        with _lock:
            return self._made.get(position) or self._made.add(position, self._make(self, position))

    def handles(self, positions: Iterable[int]) -> list[Any]:
        """:meth:`handle` of several."""
        made = self._made
        with _lock:
            return [made.get(position) or made.add(position, self._make(self, position)) for position in positions]

    def kept_end_of(self, position: int) -> tuple[bytes | None, State[Any] | None]:
        """The end of a run, as its handle keeps it; nothing if it has not ended."""
        letter = self.ends.letters[position]
        if not letter:
            return None, None
        if self._states and position in self._states:
            return None, self._states[position]
        return _AS_BYTES[letter] + self.ends.outcome_of(position), None

    def end_of(self, position: int) -> bytes | None:
        """Status and outcome of a run in one; ``None`` if it has not ended, or its end is known as a state."""
        with _lock:
            return self.kept_end_of(position)[0]

    def state_of(self, position: int) -> State[Any]:
        """The latest known state of a run; asks the source while it has not ended."""
        with _lock:
            handle = self._made.get(position)
            end, state = self.kept_end_of(position)
        if handle is not None:
            return handle.state
        run_id = self.run_ids[position]
        if end is not None:
            return read_outcome(run_id, end[:1], end[1:])
        return state if state is not None else self.source.latest_state(run_id)

    # -- ends ----------------------------------------------------------------------------------------------------

    def end_piece(self, piece: BlockEnds) -> Sequence[int]:
        """Runs of a block have ended so; the positions of those that had not before."""
        with _lock:
            new = self.ends.add_piece(piece)
            made = self._made.among(new) if self._made else []
            ends = [self.kept_end_of(position) for position, _ in made]
            waiting = self._waiting(new)
        for (_, handle), end in zip(made, ends, strict=True):
            handle._finish_here(*end)
        self._notify(new, waiting)
        return new

    def end_one(self, position: int, end: bytes | None, state: State[Any] | None = None) -> None:
        """A run has ended so: status and outcome in one (from the store), or its state. Later ends are ignored."""
        with _lock:
            if state is not None and not self.ends.letters[position]:
                self._states[position] = state
                end = bytes((_COMPLETED if state.is_completed() else _NOT_COMPLETED,))
            is_new = end is not None and self.ends.add(position, end[0], end[1:])
            handle = self._made.get(position) if is_new else None
            found = self.kept_end_of(position) if handle is not None else None
            waiting = self._waiting((position,) if is_new else ())
        if handle is not None and found is not None:
            handle._finish_here(*found)
        self._notify((position,), waiting)

    def _waiting(self, new: Sequence[int]) -> _Waiting:
        """Who is to be notified of these ends. Under the lock, so that whoever comes later gets them as known."""
        if not new:
            return (), ()
        callbacks: list[EndCallback | UserCallback] = []
        if not self.ends.left:
            callbacks, self._callbacks = self._callbacks, callbacks
        return list(self._listeners), callbacks

    def _notify(self, new: Sequence[int], waiting: _Waiting) -> None:
        listeners, callbacks = waiting
        for listener in listeners:
            listener(new)
        for callback in callbacks:
            call_back(callback, self)  # type: ignore[arg-type]

    def reopen(self, position: int) -> None:
        """A run was replayed: it has not ended, and who waits next asks the store."""
        with _lock:
            self._states.pop(position, None)
            self.ends.forget(position)
            self.watched = False

    @contextmanager
    def notifying(self, listener: EndsCallback) -> Iterator[None]:
        """In the block the listener is called with those that have ended already, and with others as they end."""
        with _lock:
            self._listeners.append(listener)
            ended = [position for position, letter in enumerate(self.ends.letters) if letter]
        try:
            if ended:
                listener(ended)
            yield
        finally:
            with _lock:
                self._listeners.remove(listener)

    # -- what is asked of all of them -----------------------------------------------------------------------------

    def not_completed(self, positions: Sequence[int]) -> int | None:
        """The first of these that has ended otherwise than Completed."""
        letters = self.ends.letters
        return next((at for at in positions if letters[at] and letters[at] != _COMPLETED), None)

    def results(self, raise_on_failure: bool) -> list[Any]:
        """What all runs came to, by position; they have ended. Raises the error of one that did not complete."""
        found = [_UNREADABLE] * len(self)
        letters = self.ends.letters
        for first, places, outcomes in self.ends.in_pieces():
            block = self.run_ids.blocks[first // MOST_IN_BLOCK]
            for place, outcome in zip(places, outcomes, strict=True):
                if letters[first + place] == _COMPLETED:
                    found[first + place] = _result(block + ENDINGS[place], outcome)
        for position, outcome in self.ends.alone():
            if letters[position] == _COMPLETED and position not in self._states:
                found[position] = _result(self.run_ids[position], outcome)
        for position, handle in self._made.among(range(len(self))) if self._made else ():
            if handle._state is not None:  # it was read already: the same object again
                found[position] = _UNREADABLE
        for position, value in enumerate(found):
            if value is _UNREADABLE:
                found[position] = self.state_of(position).outcome(raise_on_failure)
        return found

    def open_run_ids(self, start: int = 0) -> Iterator[str]:
        """The ids of those that have not ended; those before a position come last."""
        return (self.run_ids[position] for position in self.ends.open_from(start))

    # -- to those who wait, a handle: see :class:`orchestrator.client.handles.Handle` ------------------------------

    @property
    def run_id(self) -> str:
        """Of the first one."""
        return self.run_ids[0]

    @property
    def left(self) -> int:
        """How many have not ended."""
        return self.ends.left

    @property
    def settled(self) -> bool:
        """Whether all have ended."""
        return not self.ends.left

    @property
    def _has_callbacks(self) -> bool:
        return bool(self._callbacks)

    def move_to(self, source: Source) -> None:
        """Another source looks after these runs now."""
        self.source, self.watched = source, False
        self.ends.count_left()

    def _on_end(self, callback: EndCallback) -> None:
        with _lock:
            if self.ends.left:
                self._callbacks.append(callback)
                return
        call_back(callback, self)  # type: ignore[arg-type]

    def _forget(self, callback: EndCallback) -> None:
        with _lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


def _result(run_id: str, outcome: bytes) -> Any:
    """The result of a Completed run; the state says what is wrong with one that cannot be read, or is in a file."""
    try:
        value = read_result(run_id, outcome)
    except Exception:
        return _UNREADABLE
    return value if type(value) is not StoredResult else _UNREADABLE
