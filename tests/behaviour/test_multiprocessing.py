"""Children that multiprocessing starts send calls under the keys that their parent's script has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, sys
from orchestrator import task
from orchestrator.testing import private_fleet

@task
def double(x):
    return 2 * x

def send(x):
    return double.submit(x).task_run_id, double.task_key

if __name__ == "__main__":
    from orchestrator.futures import PrefectFuture
    with private_fleet():
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            sent = pool.map(send, [1, 2])
        assert {key for _, key in sent} == {double.task_key}, sent
        print([PrefectFuture(run_id).result(timeout=60) for run_id, _ in sent])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_sends_what_the_workers_of_its_parent_run(method: str, tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "doubling.py"), method],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.stdout.strip() == "[2, 4]", ended.stderr
