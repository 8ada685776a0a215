"""The last Python stack of a call whose process has to be killed.

A thread that sits in C code runs no Python any more, yet a signal still reaches its process: the handler that
``faulthandler`` installs is C code, which walks the frames of all threads and writes them into a file. The supervisor
holds that file too, so it outlives the process.

The signal is SIGUSR2. An app with a handler of its own for that signal keeps it, and its calls are killed without a
last stack. The same holds where there is no such signal.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Set
from typing import Final, NamedTuple

from task_workers.supervisor.slot_table import unnamed_file

SIGNAL: Final = getattr(signal, "SIGUSR2", None) if hasattr(faulthandler, "register") else None
MAX_SECONDS: Final = 0.5  # a process that is stopped, or swaps, does not answer
POLL_SECONDS: Final = 0.01
QUIET_LOOKS: Final = 4  # nothing says that the last line is written: it is when nothing more comes
MAX_READ_BYTES: Final = 262_144  # a hundred threads of a hundred frames each
MAX_SHOWN_BYTES: Final = 8_192
HEADLINE: Final = "The last Python stack of the thread that ran it (most recent call last):"
_THREAD: Final = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME: Final = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_ENGINE: Final = os.path.join("orchestrator", "execution", "")
_CALLERS: Final = ("_call", "_call_async")  # there, in drivers.py: what they call is the user's


def report_stacks(fd: int) -> None:
    """In the child: from now on SIGUSR2 writes the stacks of all threads to ``fd``, whatever they are doing."""
    os.set_inheritable(fd, False)
    if SIGNAL is not None and signal.getsignal(SIGNAL) == signal.SIG_DFL:
        faulthandler.register(SIGNAL, file=fd, all_threads=True)


class StackFile:
    """The supervisor's side: the file into which a child writes its stacks."""

    def __init__(self) -> None:
        self.fd = self.fd_in_child = unnamed_file("stacks")
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, pid: int, threads: Set[int], has_ended: Callable[[], bool]) -> dict[int, str]:
        """The stacks of a child now, ready to be shown, by thread: these threads at least, if it answers in time."""
        with self._lock:
            if SIGNAL is None or self._closed or not self._is_open_in(pid):
                return {}
            before = os.fstat(self.fd).st_size
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGNAL)
            return self._stacks_after(before, threads, has_ended)

    def _stacks_after(self, before: int, threads: Set[int], has_ended: Callable[[], bool]) -> dict[int, str]:
        deadline, size, quiet = time.monotonic() + MAX_SECONDS, before, 0
        while time.monotonic() < deadline and not has_ended():
            time.sleep(POLL_SECONDS)
            last, size = size, os.fstat(self.fd).st_size
            quiet = quiet + 1 if last == size > before else 0
            if quiet >= QUIET_LOOKS and threads <= self._read(before).keys():
                break
        return self._read(before)

    def _read(self, first: int) -> dict[int, str]:
        return stacks_from(os.pread(self.fd, MAX_READ_BYTES, first).decode("utf-8", "replace"))

    def _is_open_in(self, pid: int) -> bool:
        """Whether the number still means this file there: a task may have closed it, and opened one of its own."""
        try:
            there, here = os.stat(f"/proc/{pid}/fd/{self.fd_in_child}"), os.fstat(self.fd)
        except OSError:
            return not os.path.isdir("/proc/self/fd")  # elsewhere it cannot be known
        return os.path.samestat(there, here)

    def close(self) -> None:
        """Give it back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.fd)


class StackFrame(NamedTuple):
    """One line of a stack."""

    file: str
    line: str
    name: str

    def __str__(self) -> str:
        return f'  File "{self.file}", line {self.line}, in {self.name}'


def stacks_from(dump: str) -> dict[int, str]:
    """What ``faulthandler`` wrote about all threads, as text for people by thread identifier.

    >>> print(stacks_from('Thread 0x2a (most recent call first):\\n  File "a.py", line 3 in inner')[42])
    The last Python stack of the thread that ran it (most recent call last):
      File "a.py", line 3, in inner
    """
    stacks: dict[int, list[StackFrame]] = {}
    frames: list[StackFrame] = []
    for line in dump.splitlines():
        if head := _THREAD.match(line):
            frames = stacks[int(head[1], 16)] = []
        elif found := _FRAME.fullmatch(line):
            frames.append(StackFrame(*found.groups()))
    return {thread: formatted(list(reversed(frames))) for thread, frames in stacks.items() if frames}


def formatted(frames: list[StackFrame]) -> str:
    """A stack, outermost frame first, as text: without what is ours around the task, and its innermost 8 KiB."""
    lines: list[str] = []
    room = MAX_SHOWN_BYTES - len(HEADLINE)
    for frame in reversed(_of_the_task(frames)):
        line = str(frame)
        room -= len(line.encode()) + 1
        if room < 8:
            lines.append("  ...")
            break
        lines.append(line)
    return "\n".join([HEADLINE, *reversed(lines)])


def _of_the_task(frames: list[StackFrame]) -> list[StackFrame]:
    """From the first frame that is not ours on; all of them when the task's code was not being called."""
    for at, frame in enumerate(frames):
        if frame.name in _CALLERS and _ENGINE in frame.file:
            rest = frames[at + 1 :]
            while rest and _ENGINE in rest[0].file:
                del rest[0]
            return rest or frames
    return frames
