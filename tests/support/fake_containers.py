"""What the programs ``docker`` and ``kubectl`` of tests have in common: containers that are processes of this machine.

Each has a folder with its description, its output, its process id and, in the end, its exit code. While the file
``hold`` is in the folder of all, containers do not begin: their image is still being pulled, so to speak.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("FAKE_STATE", "."))
POLL_SECONDS = 0.02


class Container:
    """A container by its id."""

    def __init__(self, name: str, state: Path = STATE) -> None:
        self.id, self.folder = name, state / "containers" / name

    @property
    def exists(self) -> bool:
        return (self.folder / "spec.json").exists()

    @property
    def spec(self) -> dict[str, Any]:
        """As it was asked for."""
        read: dict[str, Any] = json.loads((self.folder / "spec.json").read_text())
        return read

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def create(self, spec: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True)
        self.log.touch()
        partial = self.folder / "partial"
        partial.write_text(json.dumps(spec))
        partial.rename(self.folder / "spec.json")

    def start(self) -> None:
        """Run its command in a process that outlives this one."""
        (self.folder / "started").touch()
        words = [sys.executable, "-S", __file__, str(self.folder)]
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def number(self, file: str) -> int | None:
        try:
            return int((self.folder / file).read_text())
        except (OSError, ValueError):
            return None

    @property
    def exit_code(self) -> int | None:
        return self.number("exit")

    @property
    def pid(self) -> int | None:
        return self.number("pid")

    @property
    def phase(self) -> str:
        """created, pending, running, ended"""
        if self.exit_code is not None:
            return "ended"
        if self.pid is not None:
            return "running"
        return "pending" if (self.folder / "started").exists() else "created"

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL after a while."""
        (self.folder / "stop").touch()
        for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 10.0)):
            if self.phase in ("created", "ended"):
                return
            if (pid := self.pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, number)
            until = time.monotonic() + patience
            while self.exit_code is None and time.monotonic() < until:
                time.sleep(POLL_SECONDS)


def containers(state: Path = STATE) -> list[Container]:
    """All that there are, the oldest first."""
    folder = state / "containers"
    found = [Container(path.name, state) for path in folder.iterdir()] if folder.exists() else []
    return sorted((one for one in found if one.exists), key=lambda one: (one.folder / "spec.json").stat().st_mtime_ns)


def note_call(words: list[str]) -> None:
    """Keep this command line, for the test."""
    with (STATE / "calls").open("a") as file:
        file.write(json.dumps(words) + "\n")


def follow(container: Container, goes_on: bool) -> None:
    """Write its output, until it has ended if that is wanted."""
    with container.log.open("rb") as file:
        while True:
            ended = container.exit_code is not None or not container.exists
            for line in file:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            if ended or not goes_on:
                return
            time.sleep(POLL_SECONDS)


def _run(folder: Path) -> None:
    """The process behind a container."""
    hold, spec = folder.parents[1] / "hold", json.loads((folder / "spec.json").read_text())
    while hold.exists() and not (folder / "stop").exists():
        time.sleep(POLL_SECONDS)
    code = 137
    if not (folder / "stop").exists():
        with (folder / "log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    spec["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=spec["env"], cwd=spec["cwd"],
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                log.write(f"{error}\n".encode())
                code = 127
            else:
                (folder / "pid.new").write_text(str(process.pid))
                (folder / "pid.new").rename(folder / "pid")
                code = process.wait()
    if folder.exists():
        (folder / "exit.new").write_text(str(code if code >= 0 else 128 - code))
        (folder / "exit.new").rename(folder / "exit")


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
