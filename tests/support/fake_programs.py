"""A folder with programs ``docker`` and ``kubectl`` that keep their containers in another one, for PATH of a test."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.engines import ROOT
from tests.support.fake_containers import Container, containers


class FakePrograms:
    """Both programs.

    Args:
        folder: of the test; they and what they keep are in it.
        cwd: where their containers run.
    """

    def __init__(self, folder: Path, cwd: Path | None = None) -> None:
        self.bin, self.state, inside = folder / "bin", folder / "state", folder / "inside"
        for each in (self.bin, self.state, inside):
            each.mkdir(parents=True)
        run = f"exec {shlex.quote(sys.executable)}"
        python_path = f"PYTHONPATH={shlex.quote(str(ROOT))}"
        _write(inside / "orchestrator", f"export {python_path} PYTHONUNBUFFERED=1\n{run} -m orchestrator")
        given = {
            "FAKE_STATE": self.state,
            "FAKE_PATH": f"{inside}:{os.defpath}",
            "FAKE_CWD": cwd or folder,
        }
        exports = "export " + " ".join(f"{name}={shlex.quote(str(value))}" for name, value in given.items())
        for name in ("docker", "kubectl"):
            program = ROOT / "tests" / "support" / f"fake_{name}.py"
            _write(self.bin / name, f"{exports}\n{run} -S {shlex.quote(str(program))}")

    @property
    def path(self) -> str:
        """PATH with them in front."""
        return f"{self.bin}:{os.environ.get('PATH', os.defpath)}"

    @property
    def containers(self) -> list[Container]:
        """All that are there, the oldest first."""
        return containers(self.state)

    @property
    def calls(self) -> list[list[str]]:
        """The command lines that they were called with."""
        with suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.state / "calls").read_text().splitlines()]
        return []

    def hold(self, wanted: bool) -> None:
        """Have containers wait before they begin."""
        file = self.state / "hold"
        file.touch() if wanted else file.unlink(missing_ok=True)

    def set(self, mark: str) -> None:
        """Have them fail: ``no-image``, ``forbidden``."""
        (self.state / mark).touch()

    def close(self) -> None:
        """Nothing that they have started is left."""
        for container in self.containers:
            (container.folder / "stop").touch()
            if container.exit_code is None and (pid := container.pid) is not None:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def only(self) -> Container:
        """The one container that there is."""
        (found,) = self.containers
        return found

    def manifests(self) -> list[dict[str, Any]]:
        """Of the Jobs that were made."""
        return [json.loads(line) for line in (self.state / "manifests").read_text().splitlines()]


def _write(file: Path, line: str) -> None:
    file.write_text(f'#!/bin/sh\n{line} "$@"\n')
    file.chmod(0o755)
