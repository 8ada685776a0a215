"""Ctrl-C in a script whose flow has work left."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engines import ROOT

SCRIPT = """
import sys, threading
from orchestrator import flow, task
from orchestrator.task_runners import ThreadPoolTaskRunner

@task
def slow(x):
    threading.Event().wait(0.3)

@flow
def never_ends():
    futures = slow.map(range(2000))
    futures[0].wait()
    print("busy", flush=True)
    futures.wait()

runner = {"fleet": None, "threads": ThreadPoolTaskRunner(2)}[sys.argv[1]]
try:
    (never_ends.with_options(task_runner=runner) if runner else never_ends)()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("runner", ["fleet", "threads"])
def test_ctrl_c_ends_a_flow_without_waiting_for_its_calls(runner: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", runner],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "ORCHESTRATOR_HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "stopped\n"  # all of its calls would take five minutes
    assert process.returncode == 0
