"""Tasks that write down when they start and end, in a file that is out of reach of every fault."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from orchestrator import get_run_logger, task
from orchestrator.runs.current import current_attempt


class Note(NamedTuple):
    """One line: an attempt started (``+``) or its code ended (``-``)."""

    sign: str
    run_id: str
    run_count: int
    process: int
    at: float  # CLOCK_MONOTONIC, the same for all processes of a machine


def note(trace: str, sign: str) -> None:
    """Write one line, whole: appending a short text is atomic."""
    attempt = current_attempt.get()
    assert attempt is not None
    line = f"{sign} {attempt.run_id} {attempt.run_count} {os.getpid()} {time.monotonic()}\n"
    with open(trace, "ab", buffering=0) as file:
        file.write(line.encode())


def notes(trace: Path) -> list[Note]:
    """All lines."""
    if not trace.exists():
        return []
    rows = (line.split() for line in trace.read_text().splitlines())
    return [Note(sign, run_id, int(count), int(process), float(at)) for sign, run_id, count, process, at in rows]


@task
def add(trace: str, a: int, b: int) -> int:
    note(trace, "+")
    note(trace, "-")
    return a + b


@task
def say(trace: str, text: str) -> str:
    """Keeps a log line."""
    note(trace, "+")
    get_run_logger().info("saying %s", text)
    note(trace, "-")
    return text.upper()


@task
def sleep(trace: str, seconds: float) -> float:
    note(trace, "+")
    time.sleep(seconds)
    note(trace, "-")
    return seconds


@task
def wait_for_sign(trace: str, sign: str, seconds: float = 20.0) -> str:
    """Runs until a file appears."""
    note(trace, "+")
    deadline = time.monotonic() + seconds
    while not os.path.exists(sign) and time.monotonic() < deadline:
        time.sleep(0.005)
    note(trace, "-")
    return "seen" if os.path.exists(sign) else "never"


@task(retries=2, retry_delay_seconds=0.05)
def fail_twice(trace: str) -> str:
    note(trace, "+")
    attempt = current_attempt.get()
    assert attempt is not None
    note(trace, "-")
    if attempt.retries < 2:
        raise ValueError(f"attempt {attempt.retries + 1}")
    return "the third time"


@task
def fail(trace: str) -> None:
    note(trace, "+")
    note(trace, "-")
    raise ValueError("always")


@task(max_deliveries=2)
def needs_an_antidote(trace: str, antidote: str) -> str:
    """Kills its process, until the test has put a file there."""
    note(trace, "+")
    if not os.path.exists(antidote):
        os._exit(3)
    note(trace, "-")
    return "cured"
