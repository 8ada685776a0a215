"""A real worker: ``orchestrator worker`` as a process, its output in a file, ended with the test.

It is forked where that is the same; the pages of the documentation and tests of other commands start a new Python.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.forked import ForkedProcess, can_be_forked, fork
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.support.app_for_workers"
QUICK = {
    "ORCHESTRATOR_LEASE_SECONDS": "2",
    "ORCHESTRATOR_BEAT_SECONDS": "0.5",
    "ORCHESTRATOR_KILL_GRACE_SECONDS": "0.5",
}


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of ours and without profiles, but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return {**kept, "ORCHESTRATOR_PROFILES_PATH": os.devnull, **more}


class WorkerProcess:
    """One worker.

    Args:
        log: file for its output.
        environment: of the process.
        options: of its command line.
        cwd: where it runs; the packages that it is made of are found there first.
    """

    def __init__(self, log: Path, environment: dict[str, str], *options: str, cwd: Path = ROOT) -> None:
        self.log = log
        self._file = log.open("ab")
        self.process = self._started(list(options), environment, cwd)

    def _started(
        self, options: list[str], environment: dict[str, str], cwd: Path
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        if can_be_forked(environment, str(cwd)):
            return fork("worker", options, environment, str(cwd), self._file, pipes=False, new_session=True)
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "worker", *options],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """Process ids of the children that have said that they are ready, dead or alive, in order."""
        return [int(pid) for pid in re.findall(r"is ready \(process (\d+)\)", self.output)]

    def wait_ready(self, children: int, timeout: float = 40.0) -> None:
        """Until so many children have been ready."""
        wait_until(lambda: self._ended_or(len(self.children()) >= children), timeout, f"{children} children")

    def wait_output(self, pattern: str, timeout: float = 40.0) -> None:
        """Until it has written something."""
        wait_until(lambda: re.search(pattern, self.output), timeout, f"{pattern!r} in: {self.output}")

    def _ended_or(self, reached: bool) -> bool:
        if not reached and self.process.poll() is not None:
            raise AssertionError(f"the worker has ended ({self.process.returncode}): {self.output}")
        return reached

    def wait(self, timeout: float = 40.0) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout)

    def terminate(self) -> None:
        """SIGTERM to the supervisor."""
        self.process.send_signal(signal.SIGTERM)

    def signal_all(self, signum: int) -> None:
        """To the supervisor, the children that have been ready, and whatever they have started."""
        for leader in (self.process.pid, *self.children()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signum)

    def close(self) -> None:
        """Kill it and whatever belongs to it."""
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)
        self._file.close()


StartWorker = Callable[..., WorkerProcess]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie (in a container nobody may collect an orphan)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or after, the file was opened
        return not Path("/proc/self").exists()


def notes(folder: Path) -> str:
    """What tasks have noted in a folder."""
    file = folder / "notes"
    return file.read_text() if file.exists() else ""


def wait_note(folder: Path, text: str) -> int:
    """Until a task has noted it; the process in which it runs."""
    wait_until(lambda: text in notes(folder), 40, f"the note {text!r}")
    line = next(line for line in notes(folder).splitlines() if text in line)
    return int(line.rsplit(" ", 1)[1])
