"""Tasks that hold the interpreter's lock or the event loop, are deaf to being stopped, or fill the memory."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import signal
import time
from pathlib import Path

from orchestrator import task
from tests.support.app_for_workers import note


def hold_the_interpreter() -> None:
    """For ever, in C code that looks at no signal."""
    any(itertools.repeat(0))


@task
def which_process() -> int:
    return os.getpid()


@task(hard_timeout_seconds=0.5)
def match_for_ever() -> None:
    """A catastrophic regular expression."""
    re.match(r"(a+)+$", "a" * 64 + "b")


@task(hard_timeout_seconds=0.5)
async def match_on_the_loop() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


@task(hard_timeout_seconds=0.5, retries=1, retry_delay_seconds=0.2)
def stuck_the_first_time(folder: str) -> str:
    first = not (Path(folder) / "notes").exists()
    note(folder, f"an attempt in {os.getpid()}")
    if first:
        hold_the_interpreter()
    return "the second time"


@task(hard_timeout_seconds=0.5, retries=1)
def always_stuck(folder: str) -> None:
    note(folder, f"an attempt in {os.getpid()}")
    hold_the_interpreter()


@task(hard_timeout_seconds=0.5, retries=3, retry_condition_fn=lambda task, run, state: True)
def stuck_with_a_condition(folder: str) -> None:
    note(folder, f"an attempt in {os.getpid()}")
    hold_the_interpreter()


@task(retries=3)
def stuck_and_unwanted(folder: str) -> None:
    note(folder, f"an attempt in {os.getpid()}")
    hold_the_interpreter()


@task
def read_in_c(folder: str, pipe: str) -> str:
    """Holds the interpreter's lock until there is something in the pipe."""
    fd = os.open(pipe, os.O_RDONLY)
    note(folder, f"reading in {os.getpid()}")
    buffer = ctypes.create_string_buffer(1)
    ctypes.PyDLL(None).read(fd, buffer, 1)
    return buffer.value.decode()


@task
async def hold_the_loop(folder: str) -> str:
    """Until the test opens the gate."""
    note(folder, f"blocking in {os.getpid()}")
    while not (Path(folder) / "gate").exists():
        time.sleep(0.01)
    return "let go"


@task(max_deliveries=1)
def grow_and_be_killed(megabytes: int) -> None:
    """As the kernel does it to a process that takes too much."""
    hoard = b"x" * (megabytes * 2**20)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(len(hoard))
