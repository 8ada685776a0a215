"""How much memory a process occupies."""

from __future__ import annotations

import resource
import sys

from orchestrator.slots.description import resident_bytes


def resident_mb(pid: int) -> float:
    """The resident memory of a process in MiB; 0 if it is gone.

    >>> import os
    >>> resident_mb(os.getpid()) > 1
    True
    """
    return resident_bytes(pid) / 2**20


def peak_mb(used: resource.struct_rusage) -> float:
    """The most memory (MiB) that a process occupied at once, as the system reports it at its end.

    >>> peak_mb(resource.getrusage(resource.RUSAGE_SELF)) > 1
    True
    """
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
