"""The description of a consumer and its process, for the lists of workers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from brokers.version import __version__
from orchestrator.runnables import registry

MAX_PARAMETER_BYTES: Final = 8192  # of the names of all parameters together: every worker publishes them
STARTED: Final = datetime.now(UTC).isoformat(timespec="seconds")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def describe(queues: Iterable[str], threads: int) -> dict[str, str]:
    """The description of a consumer of this process."""
    return {
        "host": platform.node(),
        "pid": str(os.getpid()),
        "queues": ",".join(queues),
        "threads": str(threads),
        "tasks": ",".join(registry.keys()),
        "scripts": ",".join(registry.scripts()),
        **process_facts(os.getpid()),
        "started": STARTED,
        "parameters": parameters(),
    }


def process_facts(pid: int) -> dict[str, str]:
    """Version, and how much memory a process occupies."""
    return {"version": __version__, "memory_bytes": str(resident_bytes(pid))}


def parameters() -> str:
    """The names of the parameters of the tasks that are known here, as JSON; those without room are left out.

    >>> isinstance(json.loads(parameters()), dict)
    True
    """
    return _parameters(tuple(registry.keys()))


@lru_cache(maxsize=4)
def _parameters(keys: tuple[str, ...]) -> str:
    found: dict[str, list[str]] = {}
    room = MAX_PARAMETER_BYTES
    for task in registry.known():
        names = list(task.signature.full.parameters)
        room -= len(json.dumps({task.task_key: names}))
        if room < 0:
            break
        found[task.task_key] = names
    return json.dumps(found)


def resident_bytes(pid: int) -> int:
    """The resident memory of a process; 0 if it is gone.

    >>> resident_bytes(os.getpid()) > 2**20
    True
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0 if os.path.isdir("/proc/self") else _resident_by_ps(pid)


def _resident_by_ps(pid: int) -> int:
    """Where there is no /proc (macOS): ``ps`` prints kibibytes."""
    printed = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return int(printed) * 1024 if printed.strip().isdigit() else 0
