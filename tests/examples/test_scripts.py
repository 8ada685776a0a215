"""The examples as anyone would run them: a script, its output, its exit status; and two terminals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.private_server import stop_lasting
from tests.conftest import program_or_skip
from tests.support.worker_process import WorkerProcess, clean_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """No server is configured; the private one is in a folder of the test's own, which has a short path."""
    program_or_skip("embedded")
    home = Path(tempfile.mkdtemp(prefix="orc-"))
    yield clean_environment(ORCHESTRATOR_HOME=str(home))
    stop_lasting(home)
    shutil.rmtree(home)


def output_of(script: str, environment: dict[str, str]) -> str:
    """What a script that succeeds has printed; run from another folder than ours."""
    command = [sys.executable, str(ROOT / "examples" / script)]
    home = environment["ORCHESTRATOR_HOME"]
    ran = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout


def test_quickstart_needs_nothing_else(environment: dict[str, str]) -> None:
    assert output_of("quickstart.py", environment) == (
        "the first five: [0, 1, 4, 9, 16]\nthe sum of 100 squares: 328350\n"
    )


def test_etl_loads_what_there_is_and_finds_it_in_the_cache_the_second_time(environment: dict[str, str]) -> None:
    printed = output_of("etl.py", environment)
    assert re.findall(r"^(\w+) +(\w+) +after (\d) attempts, then (\w+)$", printed, re.MULTILINE) == [
        (shop, state, attempts, found if shop != "oslo" else "NotReady")
        for found in ("Completed", "Cached")
        for shop, state, attempts in [
            ("berlin", "Completed", "1"),
            ("lagos", "Completed", "3"),
            ("lima", "Completed", "1"),
            ("oslo", "Failed", "3"),
        ]
    ]
    assert printed.count("{'berlin': 49, 'lagos': 105, 'lima': 41}") == 2
    assert len(re.findall(r"^daily-sales-\w+: Completed$", printed, re.MULTILINE)) == 2


def test_batch_starts_its_own_workers_when_none_is_live(environment: dict[str, str]) -> None:
    printed = output_of("batch.py", environment)
    assert "10,000 done; the longest way so far: 261 steps from 6,171" in printed
    assert re.search(r"^10,000 calls in [\d.]+ s: [\d,]+ calls/s$", printed, re.MULTILINE)


def test_batch_uses_workers_that_are_live(environment: dict[str, str], tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "log", environment, "-A", "examples/batch.py", "-c", "2", "-l", "debug")
    try:
        worker.wait_ready(2)
        assert "10,000 done" in output_of("batch.py", environment)
        worker.wait_output(r"batch\.collatz_steps|collatz_steps")
    finally:
        worker.close()


def test_two_terminals_share_the_private_server(environment: dict[str, str], tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "log", environment, "-A", "examples.quickstart", "-c", "2")
    try:
        worker.wait_ready(2)
        assert "the sum of 100 squares: 328350" in output_of("quickstart.py", environment)
        worker.wait_output(r"add_up.*\bCompleted\b|\bCompleted\b.*add_up")
        assert len(re.findall(r"\bsquare\b.*\bCompleted\b|\bCompleted\b.*\bsquare\b", worker.output)) == 100
    finally:
        worker.close()


def test_the_readme_names_every_example() -> None:
    folder = ROOT / "examples"
    named = set(re.findall(r"\]\(([\w/.]+)\)", (folder / "README.md").read_text("utf-8")))
    assert {path.name for path in folder.glob("*.py")} | {"web/app.py", "celery_shop/README.md"} == named
    assert all(os.access(folder / name, os.R_OK) for name in named)
