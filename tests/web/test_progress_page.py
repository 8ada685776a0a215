"""``docs/progress.md``: its blocks, with a real worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from orchestrator.client.fleet import Fleet
from tests.support.engines import environment_of
from tests.support.worker_process import ROOT, WorkerProcess
from tests.web.pages import write_files


def test_the_page_prints_what_it_says(fleet: Fleet, tmp_path: Path) -> None:
    assert write_files("progress.md", tmp_path) == []
    environment = {**environment_of(fleet.settings), "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    worker = WorkerProcess(tmp_path / "log", environment, "-A", "pages.py", "-c", "1", cwd=tmp_path)
    try:
        worker.wait_ready(1)
        done = subprocess.run(
            [sys.executable, "read.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
        )
    finally:
        worker.close()
    assert done.returncode == 0, done.stderr
    said = re.search(r"prints\n\n((?:    .*\n)+)", (ROOT / "docs" / "progress.md").read_text())
    assert said is not None
    assert done.stdout.splitlines() == [line.strip() for line in said[1].splitlines()]
