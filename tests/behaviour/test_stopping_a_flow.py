"""Ctrl-C in a script whose flow has work left."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engines import ROOT

SCRIPT = """
import asyncio, sys, threading
from orchestrator import flow, task
from orchestrator.task_runners import ThreadPoolTaskRunner

@task
def slow(x):
    threading.Event().wait(0.3)
    if x == 20:  # the flow's function has returned by now, if it does not wait
        print("busy", flush=True)

@flow
def waits():
    slow.map(range(2000)).wait()

@flow
def leaves():
    slow.map(range(2000))

@flow
def yields():
    slow.map(range(2000)).wait()
    yield "never"

@flow
async def leaves_on_a_loop():
    slow.map(range(2000))

runner = {"fleet": None, "threads": ThreadPoolTaskRunner(2)}[sys.argv[1]]
chosen = globals()[sys.argv[2]]
if runner:
    chosen = chosen.with_options(task_runner=runner)
try:
    if chosen.isasync:
        asyncio.run(chosen())
    else:
        list(chosen() or ())
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("kind", ["waits", "leaves", "yields", "leaves_on_a_loop"])
@pytest.mark.parametrize("runner", ["fleet", "threads"])
def test_ctrl_c_ends_a_flow_without_waiting_for_its_calls(kind: str, runner: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", runner, kind],
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
