"""Processes of ours end although a task has put something else in the place of the standard streams."""

from __future__ import annotations

import subprocess
import sys

import pytest

ODD = ["sys.stdout = sys.stderr = None", "sys.stdout = sys.stderr = object()", "sys.stdout.close(); sys.stderr.close()"]
ENDS = {
    "a child of a worker": "from task_workers.supervisor.child_main import leave; {odd}; leave(3)",
    "a thread of it that fails": (
        "import time; from task_workers.supervisor.child_main import _start_thread; {odd}; "
        "_start_thread('t', lambda: 1 / 0); time.sleep(60)"
    ),
    "a fork of a task": "from orchestrator.execution.forks import end; {odd}; end(SystemExit('text'))",
    "a fork of a task that fails": "from orchestrator.execution.forks import end; {odd}; end(ValueError())",
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("who", ENDS)
def test_a_process_ends_whatever_its_streams_are(who: str, odd: str) -> None:
    code = "import sys; " + ENDS[who].format(odd=odd)
    ended = subprocess.run([sys.executable, "-c", code], timeout=30, stderr=subprocess.DEVNULL, check=False)
    assert ended.returncode == (3 if "leave(3)" in code else 1)
