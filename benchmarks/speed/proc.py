"""What /proc says of processes: who belongs together, how much of a core and of memory they take. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
MB: Final = 1024 * 1024


def members(leader: int) -> list[int]:
    """The processes of a session that live and those that they have started, in whatever session; its leader first."""
    parents, found = {}, set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                pid = int(folder.name)
                state, parent = _fields(pid)[:2]
                if state != "Z":
                    parents[pid] = int(parent)
                    if os.getsid(pid) == leader:
                        found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found, key=lambda pid: (pid != leader, pid))


def threads(pid: int) -> int:
    """How many threads a process has; 0 if it is gone."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def own_share_mb(pids: Iterable[int]) -> list[float]:
    """Of each its proportional share of memory (Pss), in which shared pages count in part; largest first."""
    found = []
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += [int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("Pss:")]
    return sorted(found, reverse=True)


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of the threads of these; processes and threads that are gone count nothing."""
    return sum(sum(_seconds_of(thread) for thread in Path(f"/proc/{pid}/task").glob("*")) for pid in pids)


def _seconds_of(thread: Path) -> float:
    """From nanoseconds if the kernel tells them: by ticks of 10 ms five idle processes would be half a % off."""
    with suppress(OSError):
        return int((thread / "schedstat").read_text().split()[0]) / 1e9
    with suppress(OSError):
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return 0.0


def status_mb(pid: int, name: str) -> float:
    """A field of ``/proc/<pid>/status`` in MB (MiB): ``VmRSS``, ``VmHWM`` (the peak)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / MB
    return 0.0


def resident_mb(pids: Iterable[int]) -> list[float]:
    """Resident memory of each, largest first."""
    found = []
    for pid in pids:
        with suppress(OSError):
            found.append(status_mb(pid, "VmRSS"))
    return sorted(found, reverse=True)
