"""Counters in memory that a child shares with its supervisor: a block of numbers per task and queue.

The child writes (a tenth of a microsecond per number), the supervisor reads when it is asked for figures, and what a
dead child has counted is still there. The memory is bounded: what comes after the last block is counted under "other".
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Upper bounds of the buckets of both histograms: a time is in the first bucket whose bound is not below it."""

COUNTERS: Final = ("started", "redelivered", "succeeded", "failed", "retried", "cancelled")
STARTED, REDELIVERED, SUCCEEDED, FAILED, RETRIED, CANCELLED = range(len(COUNTERS))
_BUCKETS: Final = len(SECONDS) + 1  # the last one has no bound
DURATION: Final = len(COUNTERS)  # the sum, and behind it the buckets
WAIT: Final = DURATION + 1 + _BUCKETS
_NUMBERS: Final = WAIT + 1 + _BUCKETS

SERIES: Final = 512
OTHER: Final = ("other", "other")
_NAME_BYTES: Final = 256  # two of them are the length
_LENGTH: Final = struct.Struct("<H")
_HEAD: Final = struct.Struct("<QQ")  # how many blocks are in use, and the thread of the event loop
_BLOCK: Final = _NAME_BYTES + 8 * _NUMBERS
SIZE: Final = _HEAD.size + SERIES * _BLOCK


def open_cells() -> int:
    """The descriptor of memory for one child, which belongs to whoever holds it and has no name on any disk."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("figures")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, SIZE)
    return fd


class CellWriter:
    """The child's side. Whoever writes numbers holds a lock of his own.

    Args:
        fd: from :func:`open_cells`.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, SIZE)
        self.cells = memoryview(self._memory).cast("d")
        self._blocks: dict[tuple[str, str], int] = {}
        self._loop_thread = 0

    def block(self, task: str, queue: str) -> int:
        """Where the numbers of a task and queue begin, as an index of ``cells``."""
        name = (task, queue)
        found = self._blocks.get(name)
        if found is None and len(self._blocks) >= SERIES - 1:
            name = OTHER
            found = self._blocks.get(name)
        if found is None:
            found = self._blocks[name] = self._add(*name)
        return found

    def _add(self, task: str, queue: str) -> int:
        index = len(self._blocks)
        start = _HEAD.size + index * _BLOCK
        text = f"{task}\0{queue}".encode()[-(_NAME_BYTES - _LENGTH.size) :]
        self._memory[start + _LENGTH.size : start + _LENGTH.size + len(text)] = text
        _LENGTH.pack_into(self._memory, start, len(text))
        _HEAD.pack_into(self._memory, 0, index + 1, self._loop_thread)
        return (start + _NAME_BYTES) // 8

    def note_loop(self, thread: int) -> None:
        """The thread in which async calls run: the supervisor recognizes them by it."""
        if thread != self._loop_thread:
            self._loop_thread = thread
            _HEAD.pack_into(self._memory, 0, len(self._blocks), thread)


@dataclass(slots=True)
class Counted:
    """The numbers of one task in one queue."""

    numbers: list[float] = field(default_factory=lambda: [0.0] * _NUMBERS)

    def add(self, numbers: tuple[float, ...] | list[float]) -> None:
        """What another process has counted."""
        self.numbers = [one + other for one, other in zip(self.numbers, numbers, strict=True)]

    def copy(self) -> Counted:
        """One that can be added to."""
        return Counted(list(self.numbers))

    def counter(self, which: int) -> float:
        """One of ``COUNTERS``."""
        return self.numbers[which]

    def histogram(self, first: int) -> tuple[float, list[float]]:
        """``DURATION`` or ``WAIT``: the sum in seconds, and how many there are in each bucket."""
        return self.numbers[first], self.numbers[first + 1 : first + 1 + _BUCKETS]


Figures = dict[tuple[str, str], Counted]
"""Task and queue -> what was counted."""


class CellReader:
    """The supervisor's side. Stays readable when the child is dead.

    Args:
        fd: as the child's; not needed any more afterwards.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ)

    @property
    def loop_thread(self) -> int:
        """The thread in which its async calls run; 0 as long as there was none."""
        thread: int = _HEAD.unpack_from(self._memory)[1]
        return thread

    def add_to(self, figures: Figures) -> None:
        """Add what the child has counted so far."""
        used, _ = _HEAD.unpack_from(self._memory)
        for index in range(min(used, SERIES)):
            start = _HEAD.size + index * _BLOCK
            (length,) = _LENGTH.unpack_from(self._memory, start)
            text = self._memory[start + _LENGTH.size : start + _LENGTH.size + length]
            task, _, queue = text.decode("utf-8", "replace").partition("\0")
            numbers = struct.unpack_from(f"<{_NUMBERS}d", self._memory, start + _NAME_BYTES)
            figures.setdefault((task, queue), Counted()).add(numbers)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
