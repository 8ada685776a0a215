"""Workers of tests that are forked from a template instead of started as a new Python; see ``worker_template``."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

from tests.support.ends import all_of

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 60.0  # of a template, which imports much at first
_templates: dict[str, Template] = {}


def can_be_forked(environment: dict[str, str], folder: str) -> bool:
    """Whether a fork is what a new Python would be: our packages are those of this tree, hashes are as they come."""
    last = environment.get("PYTHONPATH", "").rpartition(os.pathsep)[2] or folder
    return (
        sys.platform == "linux"
        and Path(last) == ROOT
        and not {"PYTHONHASHSEED", "PYTHONDEVMODE", "PYTHONWARNINGS"} & set(environment)
    )


class ForkedProcess:
    """What tests use of :class:`subprocess.Popen`, of a process whose parent is the template."""

    def __init__(self, report: int, stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> None:
        self._report, self._told = os.fdopen(report, "rb", buffering=0), b""
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        self.pid = int(self._line(START_SECONDS) or -1)
        assert self.pid > 0, "the template of the workers has ended, or does not fork"

    def _line(self, seconds: float | None) -> bytes | None:
        """The next line of the template; an empty one at its end, nothing if there is none in time."""
        end = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._told:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._report], [], [], left)[0]:
                return None
            more = self._report.read(100)
            if not more:
                return b""
            self._told += more
        line, _, self._told = self._told.partition(b"\n")
        return line

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._ended(0)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            line = self._line(seconds)
            if line is not None:
                self.returncode = int(line) if line else -signal.SIGKILL  # it dies with the template
                self._report.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises ``subprocess.TimeoutExpired``."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """End its input, and wait for its end."""
        if self.stdin is not None:
            self.stdin.close()
        self.wait(timeout)
        written = b""
        if self.stdout is not None and not self.stdout.closed:
            os.set_blocking(self.stdout.fileno(), False)  # children of it may have it open
            written = self.stdout.read() or b""
            self.stdout.close()
        return written, b""

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Template:
    """The template of a kind of workers, started when the first one is."""

    def __init__(self, kind: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        command = [sys.executable, "-m", "tests.support.worker_template", kind, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**kept, "C_FORCE_ROOT": "1", "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._socket, self._pid = ours, os.getpid()

    @property
    def is_there(self) -> bool:
        """Whether it answers this process."""
        return self._pid == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """End it, and its workers with it."""
        self._socket.close()
        if self._pid == os.getpid():
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:  # a process that a test has forked has the socket open
                self._process.kill()
                self._process.wait(20)

    def fork(
        self,
        arguments: list[str],
        environment: dict[str, str],
        folder: str,
        output: IO[bytes],
        *,
        pipes: bool,
        new_session: bool,
    ) -> ForkedProcess:
        """A worker, whose error output goes to ``output``; its input and output are pipes, or nothing and that too."""
        request = {"arguments": arguments, "environment": environment, "folder": folder, "new_session": new_session}
        report, theirs = os.pipe()
        given, kept = [output.fileno()], (None, None)
        if pipes:
            (read_in, write_in), (read_out, write_out) = os.pipe(), os.pipe()
            streams, kept = [read_in, write_out], (os.fdopen(write_in, "wb"), os.fdopen(read_out, "rb"))
        else:
            streams = [os.open(os.devnull, os.O_RDONLY), os.dup(output.fileno())]
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [*streams, *given, theirs])
        finally:
            for each in (*streams, theirs):
                os.close(each)
        return ForkedProcess(report, *kept)


def end_templates() -> None:
    """End them, and workers that are left; for the end of the tests."""
    templates = list(_templates.values())
    _templates.clear()
    all_of(template.close for template in templates)


def fork(kind: str, *arguments: object, **options: object) -> ForkedProcess:
    """A worker of a kind; see :meth:`Template.fork`."""
    found = _templates.get(kind)
    if found is None or not found.is_there:
        found = _templates[kind] = Template(kind)
    return found.fork(*arguments, **options)  # type: ignore[arg-type]
