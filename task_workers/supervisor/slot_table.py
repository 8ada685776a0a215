"""Which call runs in which place of a child process, and when the child last showed life, in memory that outlives it.

The child writes (about half a microsecond per call), its supervisor reads: to know after a death which calls died with
the process, and during life which have run longer than they may, and what is to follow then. Nobody locks: a row has
one writer, and a reader that is about to kill looks twice.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

# run id (a zero byte first: free), started, thread, seconds until a retry (below 0: none), to be killed at (0: never)
_ROW: Final = struct.Struct("<36s4xdQdd")
_KILL: Final = struct.Struct("<dd")  # the last two
_KILL_AT: Final = _ROW.size - _KILL.size
_PULSE: Final = struct.Struct("<dd")  # before all rows
_NO_PLACE: Final = -1
_NO_RETRY: Final = -1.0


class Row(NamedTuple):
    """One running call; moments are those of the machine's monotonic clock, which all its processes share."""

    run_id: str
    started: float
    thread: int  # as of ``threading.get_ident()``
    retry_seconds: float | None  # after being killed past its deadline; None: no retry
    deadline: float  # 0: none


class Pulse(NamedTuple):
    """When the child last showed life; moments as in :class:`Row`."""

    awake: float  # its threads were running
    answered: float  # the server answered it


def unnamed_file(purpose: str) -> int:
    """The descriptor of an empty file that belongs to whoever holds it and has no name on any disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(purpose)  # not a file in /tmp: a disk's write-back must not slow down calls
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def open_table(rows: int) -> int:
    """The descriptor of an empty table."""
    fd = unnamed_file("slots")
    os.ftruncate(fd, _PULSE.size + rows * _ROW.size)
    return fd


class SlotTable:
    """The child's side; see :class:`orchestrator.slots.table.SlotTable`.

    Args:
        fd: from :func:`open_table`.
        on_end: called after each call, with the number of calls that have ended.
    """

    def __init__(self, fd: int, on_end: Callable[[int], None] | None = None) -> None:
        size = os.fstat(fd).st_size
        self._memory = mmap.mmap(fd, size)
        self._free = list(range((size - _PULSE.size) // _ROW.size - 1, -1, -1))
        self._lock = threading.Lock()
        self._on_end = on_end
        self._ended = 0
        self.pulse(time.monotonic())

    def pulse(self, answered: float) -> None:
        """The threads of this process are running; ``answered``: when the server answered last."""
        _PULSE.pack_into(self._memory, 0, time.monotonic(), answered)

    def take_place(self) -> int:
        """A free row. There is none when hundreds of calls wait for others; those beyond are not written down."""
        with self._lock:
            return self._free.pop() if self._free else _NO_PLACE

    def free_place(self, place: int) -> None:
        """The row is not needed any more."""
        if place != _NO_PLACE:
            with self._lock:
                self._free.append(place)

    def note(self, place: int, run_id: str) -> None:
        """This call runs there now."""
        if place != _NO_PLACE:
            row = (run_id.encode(), time.monotonic(), threading.get_ident(), _NO_RETRY, 0.0)
            _ROW.pack_into(self._memory, _PULSE.size + place * _ROW.size, *row)

    def note_deadline(self, place: int, seconds: float, retry_seconds: float | None) -> None:
        """The call is to be killed if it still runs after so many seconds, and what is to follow then."""
        if place != _NO_PLACE:
            retry = _NO_RETRY if retry_seconds is None else retry_seconds
            at = _PULSE.size + place * _ROW.size + _KILL_AT
            _KILL.pack_into(self._memory, at, retry, time.monotonic() + seconds)

    def clear(self, place: int) -> None:
        """Nothing runs there."""
        if place != _NO_PLACE:
            self._memory[_PULSE.size + place * _ROW.size] = 0
        if self._on_end is not None:
            with self._lock:
                self._ended += 1
                ended = self._ended
            self._on_end(ended)


class TableReader:
    """The supervisor's side. Stays readable when the child is dead.

    Args:
        fd: from :func:`open_table`; not needed any more afterwards.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ)
        self._lock = threading.Lock()
        self._closed = False

    def rows(self) -> list[Row]:
        """The calls that run now (or ran when the child died)."""
        with self._lock:
            if self._closed:
                return []
            snapshot = self._memory[_PULSE.size :]
        return [
            Row(
                run_id.rstrip(b"\0").decode("ascii", "replace"),
                started,
                thread,
                None if retry < 0 else retry,
                deadline,
            )
            for run_id, started, thread, retry, deadline in _ROW.iter_unpack(snapshot)
            if run_id[0]
        ]

    def pulse(self) -> Pulse:
        """When the child last showed life."""
        with self._lock:
            return Pulse(0.0, 0.0) if self._closed else Pulse(*_PULSE.unpack_from(self._memory))

    def runs(self, run_id: str) -> bool:
        """Whether this call runs now."""
        return any(row.run_id == run_id for row in self.rows())

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._closed = True
            self._memory.close()
