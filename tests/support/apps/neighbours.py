"""Tasks that a process would rather not have: they spoil arguments, leak, leave threads, close descriptors."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from orchestrator import task
from orchestrator.runtime import task_run
from tests.support.app_for_workers import note


@task
def which_process() -> int:
    return os.getpid()


@task
def add(a: int, b: int) -> int:
    return a + b


@task(retries=2, retry_delay_seconds=0.05)
def spoil(basket: list[Any], table: dict[str, Any], failures: int = 0) -> list[Any]:
    """Changes its arguments, and returns what they had been."""
    had = [list(basket), {**table, "inner": list(table["inner"])}]
    basket.append("spoilt")
    table["inner"].clear()
    table["spoilt"] = True
    if (task_run.run_count or 1) <= failures:
        raise ValueError("again")
    return had


_leaked: list[bytearray] = []


@task
def leak(megabytes: int) -> int:
    _leaked.append(bytearray(megabytes * 2**20))
    return os.getpid()


@task
def leave_threads(folder: str, count: int) -> int:
    """They outlive the call, and are no daemons; so is one that fails later."""
    for _ in range(count):
        threading.Thread(target=time.sleep, args=(600,)).start()

    def fail_later() -> None:
        note(folder, f"a thread fails in {os.getpid()}")
        raise ValueError("in a thread that nobody asked for")

    threading.Timer(0.05, fail_later).start()
    return threading.active_count()


LINE = "x" * 1023


@task
def shout(megabytes: int) -> int:
    for _ in range(megabytes * 1024):
        print(LINE)
    return os.getpid()


@task(log_prints=True)
def shout_into_the_log(megabytes: int) -> int:
    """Long lines, and many of them."""
    for _ in range(megabytes):
        print(LINE * 1024)
    for number in range(5000):
        print(number)
    return os.getpid()


@task(max_deliveries=2)
def close_descriptors(folder: str, seconds: float) -> str:
    """All that are not the standard ones, unless the test has forbidden it."""
    note(folder, f"closing in {os.getpid()}")
    if (Path(folder) / "forbidden").exists():
        return "left them alone"
    os.closerange(3, 1000)
    time.sleep(seconds)
    return "closed them"
