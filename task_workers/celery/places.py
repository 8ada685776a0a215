"""Memory that outlives a child of Celery's pool: which calls it ran, and their stacks.

Celery forks its children, so they inherit what the worker opened before. A child takes a free place when it begins; the
worker finds it by the child's process id, and gives it free when it has read what a dead child left there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from task_workers.supervisor.last_stack import StackFile
from task_workers.supervisor.slot_table import TableReader, open_table, unnamed_file

_PID: Final = struct.Struct("<q")
FREE: Final = 0


class Place:
    """Room for one child."""

    def __init__(self, rows: int) -> None:
        self.table_fd = open_table(rows)
        self.stacks = StackFile()

    def reader(self) -> TableReader:
        """The worker's view of the table."""
        return TableReader(self.table_fd)

    def wipe(self) -> None:
        """Forget what was there."""
        os.pwrite(self.table_fd, bytes(os.fstat(self.table_fd).st_size), 0)


class Places:
    """All places of a worker; made before its pool.

    Args:
        count: how many children may live, or be dead and not yet reaped, at once.
        rows: how many calls each may run at once.
    """

    def __init__(self, count: int, rows: int) -> None:
        self._places = [Place(rows) for _ in range(count)]
        self._owners_fd = unnamed_file("owners")
        os.ftruncate(self._owners_fd, _PID.size * count)
        self._owners = mmap.mmap(self._owners_fd, _PID.size * count)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._owners_fd, fcntl.LOCK_EX)  # between processes; the kernel frees it when its holder dies
        try:
            yield
        finally:
            fcntl.lockf(self._owners_fd, fcntl.LOCK_UN)

    def _owner(self, index: int) -> int:
        (pid,) = _PID.unpack_from(self._owners, index * _PID.size)
        return int(pid)

    def take(self, pid: int) -> Place | None:
        """In the child: a place of its own; ``None`` when there is none left."""
        with self._locked():
            for index, place in enumerate(self._places):
                if self._owner(index) == FREE:
                    _PID.pack_into(self._owners, index * _PID.size, pid)
                    return place
        return None

    def of(self, pid: int) -> Place | None:
        """In the worker: where this child notes what it runs."""
        for index, place in enumerate(self._places):
            if self._owner(index) == pid:
                return place
        return None

    def free(self, pid: int) -> None:
        """In the worker: the child is dead, and what it left has been read."""
        with self._locked():
            for index, place in enumerate(self._places):
                if self._owner(index) == pid:
                    place.wipe()
                    _PID.pack_into(self._owners, index * _PID.size, FREE)
