"""The thread that interrupts blocks whose time is over."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from orchestrator.errors import TaskTimeout
from orchestrator.execution.interrupt import CancelRun, Interruptible, soft_deadline
from tests.support.waiting import wait_until


def test_a_deadline_that_no_clock_can_count_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with soft_deadline(1e300, "the long one"):
        with pytest.raises(TaskTimeout, match="the short one"), soft_deadline(0.01, "the short one"):
            wait_until(lambda: False, 20, "the deadline")
        with pytest.raises(TaskTimeout, match="the next one"), soft_deadline(0.01, "the next one"):
            wait_until(lambda: False, 20, "the deadline")
    assert [record.getMessage() for record in caplog.records] == []


INTERRUPTED_THEN_PROFILED = """
import sys, threading
from orchestrator.errors import TaskTimeout
from orchestrator.execution.interrupt import soft_deadline

def over_time():
    try:
        with soft_deadline(0.01, "the task"):
            while True:
                pass
    except TaskTimeout:
        return

def profiled():
    return 1

thread = threading.Thread(target=over_time)
thread.start()
thread.join()
sys.{look}(lambda *about: None)
profiled()
sys.{look}(None)
print("went on")
"""


@pytest.mark.parametrize("look", ["setprofile", "settrace"])
def test_a_process_in_which_a_task_was_interrupted_can_be_profiled_and_debugged(look: str) -> None:
    """On Python 3.11 it stood still at the next call that a profiler, a debugger or coverage looked at."""
    script = INTERRUPTED_THEN_PROFILED.format(look=look)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "went on\n"


def test_an_interruption_that_comes_too_late_is_raised_nowhere() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(500):
                with suppress(CancelRun), Interruptible() as block:  # it may just come in time, and leaves the block
                    late = threading.Thread(target=block.raise_in, args=(CancelRun(),))
                    late.start()
                late.join()
            for number in range(1_000):
                str(number)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert raised == []
