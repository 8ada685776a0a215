"""A process of a test that serves flows: a script, its output in a file, ended with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.settings import Settings
from tests.support.engines import ROOT, environment_of
from tests.support.waiting import wait_until


class ServingProcess:
    """A Python program that serves.

    Args:
        settings: of its fleet.
        arguments: of Python.
        cwd: where it runs.
        more: variables of its environment.
    """

    def __init__(
        self, settings: Settings, *arguments: str, cwd: Path = ROOT, more: Mapping[str, str] | None = None
    ) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**environment_of(settings), "PYTHONUNBUFFERED": "1", **(more or {})},
            cwd=cwd,
        )

    @property
    def output(self) -> str:
        """What it and its children have written so far."""
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_output(self, text: str) -> None:
        """Until it has written this."""
        wait_until(lambda: text in self.output or self._has_ended(), 40, f"{text!r} in {self.output}")
        assert text in self.output, self.output

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL: it cannot say good-bye, and the kernel takes its children."""
        self.process.kill()
        self.process.wait(20)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signum)
        return self.process.wait(40)

    def close(self) -> None:
        """Whatever became of it, it is gone."""
        if not self._has_ended():
            self.kill()
        self._output.close()
