"""How much memory a process occupies."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def resident_mb(pid: int) -> float:
    """The resident memory of a process in MiB; 0 if it is gone.

    >>> resident_mb(os.getpid()) > 1
    True
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0 if os.path.isdir("/proc/self") else _resident_by_ps(pid)


def _resident_by_ps(pid: int) -> float:
    """Where there is no /proc (macOS): ``ps`` tells kibibytes."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return int(told) / 1024 if told.strip().isdigit() else 0.0


def peak_mb(used: resource.struct_rusage) -> float:
    """The most memory (MiB) that a process occupied at once, of what the system tells when it has ended.

    >>> peak_mb(resource.getrusage(resource.RUSAGE_SELF)) > 1
    True
    """
    return used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
