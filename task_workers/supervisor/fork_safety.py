"""Whether a process that has imported an app may be forked.

Threads do not exist in a copy, and locks that they held stay locked for ever. A connection, an event loop or a file
that is read would be used by all copies at once. Files that are only appended to (logs) may be shared.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from typing import Final

from orchestrator.client.fleet import known_fleet

_DESCRIPTORS: Final = "/proc/self/fd"
_THREADS: Final = "/proc/self/task"


def open_descriptors() -> set[int]:
    """The numbers of all descriptors of this process."""
    return {int(name) for name in os.listdir(_DESCRIPTORS)}


def why_not_forked(before: set[int]) -> str | None:
    """What forbids to fork this process; ``None``: nothing.

    Args:
        before: descriptors that were open before the app was imported.
    """
    if len(os.listdir(_THREADS)) > 1:
        names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        return f"importing the app starts threads ({', '.join(sorted(names)) or 'of a library'})"
    for fd in sorted(open_descriptors() - before):
        if (what := _not_shareable(fd)) is not None:
            return f"importing the app opens {what}"
    if known_fleet() is not None:
        return "importing the app connects to the store"
    if "numpy.random" in sys.modules:
        return "the app uses numpy.random, whose numbers would be the same in every child"
    return None


def _not_shareable(fd: int) -> str | None:
    try:
        mode, flags = os.fstat(fd).st_mode, _flags_of(fd)
        name = os.readlink(f"{_DESCRIPTORS}/{fd}")
    except OSError:  # the one that listed the others
        return None
    if stat.S_ISREG(mode) and flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY:
        return None
    return f"{name} and keeps it open"


def _flags_of(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL)
