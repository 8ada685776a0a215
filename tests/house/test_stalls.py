"""A test that does not end costs itself, not the whole run: see tests/support/stalls.py."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.ends import all_of
from tests.support.house import ROOT

CONFTEST = """
import sys
sys.path.insert(0, {root!r})
from tests.support import stalls
stalls.GRACE_SECONDS, stalls.AGAIN_SECONDS = {grace!r}, 0.2

def pytest_configure(config):
    config.pluginmanager.register(stalls.Watch(config))
"""
TESTS = """
import time
from functools import partial
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

THAT_WAIT_AGAIN = """
import threading
from concurrent.futures import ThreadPoolExecutor
import pytest
from hypothesis import given, settings, strategies

never = threading.Event()

@pytest.mark.timeout(0.5)
def test_that_leaves_a_pool():
    threading.Timer(20, never.set).start()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(never.wait).result()

@pytest.mark.timeout(0.5)
@given(strategies.integers())
@settings(database=None)
def test_that_is_run_once_more(number):
    never.wait(20)

@pytest.fixture
def ends_late():
    yield
    never.wait(20)

@pytest.mark.timeout(0.5)
def test_that_fails_before(ends_late):
    assert False

def test_that_passes():
    pass
"""
THAT_FORKS = """
import os, time

def test_that_leaves_a_fork():
    if os.fork() == 0:
        time.sleep(40)
        os._exit(0)

def test_that_ends_its_process():
    os._exit(3)

def test_that_passes():
    pass
"""


def run(folder: Path, tests: str, grace_seconds: float, usual_seconds: float = 60.0) -> tuple[str, float]:
    """What pytest has written about these tests, and how long it took."""
    (folder / "conftest.py").write_text(CONFTEST.format(root=str(ROOT), grace=grace_seconds))
    (folder / "test_of_three_kinds.py").write_text(tests)
    (folder / "pytest.ini").write_text(f"[pytest]\ntimeout = {usual_seconds}\n")
    command = (sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", str(folder))
    began = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=90)
    return ran.stdout + ran.stderr, time.monotonic() - began


def test_a_test_that_stands_still_fails_and_says_where_and_the_others_are_run(tmp_path: Path) -> None:
    told, _ = run(tmp_path, TESTS, 0.5)
    assert "2 failed, 1 passed" in told, told
    assert "crashed while running 'test_of_three_kinds.py::test_that_swallows_what_should_end_it'" in told, told
    assert "in test_that_swallows_what_should_end_it" in told, "the stack says where"
    assert "test_of_three_kinds.py::test_that_fails failed in its call" in told, told


def test_a_test_that_waits_again_when_its_wait_was_ended_is_ended_again(tmp_path: Path) -> None:
    told, _ = run(tmp_path, THAT_WAIT_AGAIN, 15.0, usual_seconds=0.5)
    assert "3 failed, 1 passed, 1 error" in told, told
    assert "crashed" not in told, told
    assert "ERROR test_of_three_kinds.py::test_that_fails_before" in told, told


def test_a_forked_process_does_not_hide_that_its_test_process_has_ended(tmp_path: Path) -> None:
    told, seconds = run(tmp_path, THAT_FORKS, 15.0)
    assert "1 failed, 2 passed" in told, told
    assert seconds < 35, told


def test_all_that_a_test_has_started_is_ended_though_one_end_fails() -> None:
    ended: list[int] = []

    def ends(number: int) -> None:
        ended.append(number)
        assert number != 2, "it was not well"

    with pytest.raises(AssertionError, match="it was not well"):
        all_of(partial(ends, number) for number in range(1, 4))
    assert ended == [1, 2, 3]
