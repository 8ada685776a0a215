"""Tasks for tests with real workers: those that work, wait, die, refuse to stop."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator import flow, get_run_logger, progress, task


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def say(text: str) -> str:
    get_run_logger().info("saying %s", text)
    return text


@task(log_prints=True)
def print_and_fail(text: str) -> None:
    print(text)
    progress.set(1, 2, text)
    raise ValueError(text)


@task
async def add_async(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    return a + b


@task
def nap(seconds: float) -> None:
    time.sleep(seconds)


@task
def which_process() -> int:
    return os.getpid()


def note(folder: str, text: str) -> None:
    """Append a line to a file that the test reads."""
    with open(Path(folder) / "notes", "a") as notes:
        notes.write(text + "\n")


@task
def outlive_the_worker(folder: str, name: str) -> None:
    """Run on when the worker is killed: a child that the kernel has not ended yet."""
    ctypes.CDLL(None).prctl(1, 0)  # PR_SET_PDEATHSIG: none
    note(folder, f"{name} begins in {os.getpid()}")
    time.sleep(60)


@task
def sleep_and_note(folder: str, name: str, seconds: float) -> str:
    note(folder, f"{name} begins in {os.getpid()}")
    time.sleep(seconds)
    note(folder, f"{name} ends in {os.getpid()}")
    return name


@task
def wait_for_sign(folder: str, name: str, sign: str = "go") -> str:
    """Waits until the test makes a file of this name in the folder."""
    note(folder, f"{name} begins in {os.getpid()}")
    while not (Path(folder) / sign).exists():
        time.sleep(0.02)
    note(folder, f"{name} ends in {os.getpid()}")
    return name


@task
def sleep_if_first(folder: str, name: str) -> str:
    """Sleeps for long at the first attempt, returns at once at the next."""
    first = not (Path(folder) / name).exists()
    (Path(folder) / name).touch()
    note(folder, f"{name} begins in {os.getpid()}")
    if first:
        time.sleep(60)
    return name


@task
def stuck_in_c(folder: str, name: str) -> None:
    """Holds the interpreter's lock in C code that looks at no signal."""
    note(folder, f"{name} begins in {os.getpid()}")
    any(itertools.repeat(0))


@task(timeout_seconds=0.3)
def sleep_too_long() -> None:
    time.sleep(60)


@task(timeout_seconds=0.3)
def stuck_with_timeout() -> None:
    any(itertools.repeat(0))


@task(timeout_seconds=0.3)
async def sleep_too_long_async() -> None:
    await asyncio.sleep(60)


@task
async def sleep_async(folder: str, name: str) -> None:
    note(folder, f"{name} begins in {os.getpid()}")
    await asyncio.sleep(60)


@task
def poison(folder: str, how: str) -> str:
    """Kills its process, unless the test has put an antidote into the folder."""
    if (Path(folder) / "antidote").exists():
        return "cured"
    note(folder, f"poison in {os.getpid()}")
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)
    return "?"


@task
def leave(code: int) -> None:
    sys.exit(code)


@task(retries=1, retry_delay_seconds=0.2)
def fails_first(folder: str) -> str:
    if not (Path(folder) / "failed").exists():
        (Path(folder) / "failed").touch()
        raise ValueError("the first time")
    return "the second time"


@task
def hoard(megabytes: int) -> int:
    _hoarded.append(bytearray(megabytes * 2**20))
    return os.getpid()


_hoarded: list[Any] = []


@flow
def sums(n: int = 3) -> list[int]:
    return [future.result(timeout=60) for future in add.map(range(n), 1)]


@flow
def broken() -> None:
    raise ValueError("broken on purpose")
