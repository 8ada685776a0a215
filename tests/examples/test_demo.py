"""`orchestrator demo`, on a part of the library so that it is quick."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
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


def left_behind(environment: dict[str, str]) -> list[str]:
    return sorted(os.listdir(environment["TMPDIR"]))


@pytest.mark.parametrize("arguments", [[], ["--kill-worker"]], ids=["in-peace", "one-process-is-killed"])
def test_the_numbers_add_up_and_nothing_is_left_behind(arguments: list[str], environment: dict[str, str]) -> None:
    command = [*COMMAND, "--limit", "150", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "151 files" in ran.stdout.splitlines()[0]
    assert "The 10 largest packages" in ran.stdout
    assert re.search(r"broken\.py: SyntaxError: .*\((2|3) attempts\)", ran.stdout)
    assert "found by its id: '151 files in" in ran.stdout
    checks = re.findall(r"^(ok|WRONG)  ", ran.stdout, re.MULTILINE)
    assert checks == ["ok"] * (6 if arguments else 5)
    assert ("was killed (SIGKILL) half-way" in ran.stdout) == bool(arguments)
    assert re.search(r"^[\d,]+ calls in [\d.]+ s: [\d,]+ calls/s$", ran.stdout, re.MULTILINE)
    assert left_behind(environment) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_its_processes_and_files_along(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
) -> None:
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen(COMMAND, env=environment, stdout=out, stderr=out)
    try:
        first_line = r"on worker processes (\d+), (\d+)"
        wait_until(lambda: re.search(first_line, (tmp_path / "out").read_text()), 60, "the demo has begun")
        found = re.search(first_line, (tmp_path / "out").read_text())
        assert found is not None
        demo.send_signal(number)
        assert demo.wait(60) == 130
    finally:
        demo.kill()
        demo.wait()
    for pid in found.groups():
        wait_until(lambda pid=pid: not is_alive(int(pid)), message=f"process {pid} has ended")  # type: ignore[misc]
    assert left_behind(environment) == []
