"""One process of an application in development: its output is prefixed with its name, and it ends with us."""

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
    label = name.ljust(WIDTH)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        label = f"\x1b[{COLOURS.get(name, 0)}m{label}\x1b[0m"
    with _output, suppress(OSError):  # the terminal may be gone, the processes still have to be stopped
        print(f"{label} | {line}", flush=True)


class AppProcess:
    """A process.

    Must be started in a thread that lives as long as this process: on Linux it gets SIGTERM when that thread ends.

    Args:
        name: under which its output is shown.
        command: the process; Python's arguments.
        on_line: called in a thread of its own with each line of its output.
        on_exit: called there after its end, with the exit code.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_line: Callable[[AppProcess, str], None],
        on_exit: Callable[[AppProcess, int], None],
    ) -> None:
        self.name, self._command, self._on_line, self._on_exit = name, list(command), on_line, on_exit
        self.ready = False  # it has reported so
        self.outdated = False  # the code has changed since it was started
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id, also after its end."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it (again). Raises OSError when the system does not let us."""
        # In a session of its own: Ctrl-C reaches us alone, and we stop the processes in order.
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
            self._on_line(self, line)
        self._on_exit(self, process.wait())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process is alive."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to it and whatever it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(5)

    def wait(self, seconds: float) -> bool:
        """Wait; whether it ended in time."""
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
