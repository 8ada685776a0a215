"""A test that does not end costs itself, not the whole run: see tests/support/stalls.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.house import ROOT

CONFTEST = """
import sys
sys.path.insert(0, {root!r})
from tests.support import stalls
stalls.GRACE_SECONDS = 0.5

def pytest_configure(config):
    config.pluginmanager.register(stalls.Watch(config))
"""
TESTS = """
import time
import pytest

@pytest.mark.timeout(0.5)
def test_that_swallows_what_should_end_it():
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass

def test_that_fails():
    assert "what is" == "what should be"

def test_that_passes():
    pass
"""


def test_a_test_that_stands_still_fails_and_says_where_and_the_others_are_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(root=str(ROOT)))
    (tmp_path / "test_of_three_kinds.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 60\n")
    command = (sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", str(tmp_path))
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    told = ran.stdout + ran.stderr
    assert "2 failed, 1 passed" in told, told
    assert "crashed while running 'test_of_three_kinds.py::test_that_swallows_what_should_end_it'" in told, told
    assert "in test_that_swallows_what_should_end_it" in told, "the stack says where"
    assert "test_of_three_kinds.py::test_that_fails failed in its call" in told, told
