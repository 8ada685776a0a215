"""`orchestrator demo`, on a part of the library so that it is quick."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import program_or_skip
from tests.support.waiting import wait_until
from tests.support.worker_process import clean_environment, is_alive

COMMAND = [sys.executable, "-m", "orchestrator", "demo"]


@pytest.fixture(autouse=True)
def _a_server_program_is_here() -> None:
    program_or_skip("embedded")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The user's own home is no folder: whoever touched it would fail. Temporary files are where they can be seen."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.touch()
    temporary.mkdir()
    return clean_environment(ORCHESTRATOR_HOME=str(home), TMPDIR=str(temporary))


def start_demo(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
    """The demo in a process group of its own, and the file with what it writes (to no terminal)."""
    output = folder / "out"
    with output.open("wb") as out:
        command = [*COMMAND, *arguments]
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True), output


def end_with_all_it_started(demo: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(demo.pid, signal.SIGKILL)
    demo.wait()


def stale_after_fork(environment: dict[str, str]) -> list[str]:
    return sorted(os.listdir(environment["TMPDIR"]))


@pytest.mark.parametrize("arguments", [[], ["--kill-worker"]], ids=["in-peace", "one-process-is-killed"])
def test_the_numbers_add_up_and_nothing_is_left_behind(
    arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    demo, output = start_demo(environment, tmp_path, "--limit", "150", *arguments)
    try:
        assert demo.wait(100) == 0, output.read_text("utf-8")
    finally:
        end_with_all_it_started(demo)
    printed = output.read_text("utf-8")
    assert "151 files" in printed.splitlines()[0]
    assert "The 10 largest packages" in printed
    assert re.search(r"broken\.py: SyntaxError: .*\((2|3) attempts\)", printed)
    assert "found by its id: '151 files in" in printed
    checks = re.findall(r"^(ok|WRONG)  ", printed, re.MULTILINE)
    assert checks == ["ok"] * (6 if arguments else 5)
    assert ("was killed (SIGKILL) half-way" in printed) == bool(arguments)
    assert re.search(r"^[\d,]+ calls in [\d.]+ s: [\d,]+ calls/s$", printed, re.MULTILINE)
    assert stale_after_fork(environment) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_its_processes_and_files_along(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
) -> None:
    demo, output = start_demo(environment, tmp_path)
    try:
        first_line = r"on worker processes (\d+), (\d+)"
        wait_until(lambda: re.search(first_line, output.read_text("utf-8")), 60, "the demo has begun")
        found = re.search(first_line, output.read_text("utf-8"))
        assert found is not None
        demo.send_signal(number)
        assert demo.wait(60) == 130, output.read_text("utf-8")
    finally:
        end_with_all_it_started(demo)
    for pid in found.groups():
        wait_until(lambda pid=pid: not is_alive(int(pid)), message=f"process {pid} has ended")  # type: ignore[misc]
    assert stale_after_fork(environment) == []
