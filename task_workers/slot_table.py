"""Which call runs in which place of a child process, in memory that outlives the child.

The child writes (about half a microsecond per call), its supervisor reads: to know after a death which calls died with
the process, and during life which have run longer than they may. Nobody locks: a row has one writer, and a reader that
is about to kill looks twice.
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

ROW_BYTES: Final = 64
_ROW: Final = struct.Struct("<36s4xdd8x")  # run id (a zero byte first: free), started, to be killed at (0: never)
_MOMENT: Final = struct.Struct("<d")
_DEADLINE_AT: Final = 48
_NO_PLACE: Final = -1


class Row(NamedTuple):
    """One running call; moments are those of the machine's monotonic clock, which all its processes share."""

    run_id: str
    started: float
    deadline: float


def open_table(rows: int) -> int:
    """The descriptor of an empty table; it belongs to whoever holds it and has no name on any disk."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("slots")  # not a file in /tmp: a disk's write-back must not slow down calls
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, rows * ROW_BYTES)
    return fd


class SlotTable:
    """The child's side; see :class:`orchestrator.slots.slots.SlotTable`.

    Args:
        fd: from :func:`open_table`.
        on_end: called after each call, with the number of calls that have ended.
    """

    def __init__(self, fd: int, on_end: Callable[[int], None] | None = None) -> None:
        size = os.fstat(fd).st_size
        self._memory = mmap.mmap(fd, size)
        self._free = list(range(size // ROW_BYTES - 1, -1, -1))
        self._lock = threading.Lock()
        self._on_end = on_end
        self._ended = 0

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
            _ROW.pack_into(self._memory, place * ROW_BYTES, run_id.encode(), time.monotonic(), 0.0)

    def note_deadline(self, place: int, seconds: float) -> None:
        """The call is to be killed if it still runs after so many seconds."""
        if place != _NO_PLACE:
            _MOMENT.pack_into(self._memory, place * ROW_BYTES + _DEADLINE_AT, time.monotonic() + seconds)

    def clear(self, place: int) -> None:
        """Nothing runs there."""
        if place != _NO_PLACE:
            self._memory[place * ROW_BYTES] = 0
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
            snapshot = self._memory[:]
        return [
            Row(run_id.rstrip(b"\0").decode("ascii", "replace"), started, deadline)
            for run_id, started, deadline in _ROW.iter_unpack(snapshot)
            if run_id[0]
        ]

    def runs(self, run_id: str) -> bool:
        """Whether this call runs now."""
        return any(row.run_id == run_id for row in self.rows())

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._closed = True
            self._memory.close()
