"""The examples in docstrings are true: users copy them. They need no server; all of them take about three seconds."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.house import ROOT


def test_every_example_in_a_docstring_is_true() -> None:
    command = [sys.executable, "-m", "tests.support.docstring_examples"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = re.search(r"(\d+) examples, 0 failed", ran.stdout)
    assert found
    assert int(found[1]) > 300
