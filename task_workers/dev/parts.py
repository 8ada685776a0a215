"""One process of an application in development: its output is shown under its name, and it ends with us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final

COLOURS: Final = {"worker": 36, "app": 32, "dashboard": 35, "dev": 33}  # of a terminal
WIDTH: Final = 9
_output: Final = threading.Lock()
_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG


def say(name: str, line: str) -> None:
    """One line of output under a name."""
    told = name.ljust(WIDTH)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        told = f"\x1b[{COLOURS.get(name, 0)}m{told}\x1b[0m"
    with _output, suppress(OSError):  # the terminal may be gone, the parts still have to be ended
        print(f"{told} | {line}", flush=True)


class Part:
    """A process.

    Must be started in a thread that lives as long as this process: on Linux it gets SIGTERM when that thread ends.

    Args:
        name: under which its output is shown.
        command: the process; Python's arguments.
        said: called in a thread of its own with each line of its output.
        ended: called there when it has ended, with the exit code.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        said: Callable[[Part, str], None],
        ended: Callable[[Part, int], None],
    ) -> None:
        self.name, self._command, self._said, self._ended = name, list(command), said, ended
        self.ready = False  # it has said so
        self.outdated = False  # the code has changed since it was started
        self._process: subprocess.Popen[str] | None = None

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, also of one that has ended."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it (again). Raises OSError when the system does not let us."""
        # In a session of its own: Ctrl-C comes to us alone, and we end the parts in order.
        process = subprocess.Popen(
            [sys.executable, "-u", *self._command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        self._process = process
        self.ready = self.outdated = False
        assert process.stdout is not None
        threading.Thread(
            target=self._show, args=(process, process.stdout), name=f"shows-{self.name}", daemon=True
        ).start()

    def _show(self, process: subprocess.Popen[str], output: IO[str]) -> None:
        for line in output:
            say(self.name, line.rstrip("\n"))
            self._said(self, line)
        self._ended(self, process.wait())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.lives:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to it and whatever it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(5)

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True


if sys.platform == "linux":
    _libc = ctypes.CDLL(None, use_errno=True)

    def _end_with_parent() -> None:  # between fork and exec
        _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
else:

    def _end_with_parent() -> None:
        return None
