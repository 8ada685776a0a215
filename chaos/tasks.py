"""The tasks of the soak. Each notes its start and its end in a file of its process, out of reach of every fault."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from orchestrator import task
from orchestrator.errors import BrokerError
from orchestrator.runs.current import current_attempt

T = TypeVar("T")
TRACES = "CHAOS_TRACES"
"""Variable: the folder of the files."""


class Note(NamedTuple):
    """An attempt started (``+``) or its code ended (``-``)."""

    sign: str
    run_id: str
    process: int
    at: float  # CLOCK_MONOTONIC, the same for all processes of a machine


_file = -1


def _write(sign: str, run_id: str) -> None:
    global _file
    if _file < 0:
        path = Path(os.environ[TRACES]) / str(os.getpid())
        _file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.write(_file, f"{sign} {run_id} {os.getpid()} {time.monotonic()}\n".encode())


def read_notes(folder: Path) -> list[Note]:
    """All notes of all processes, in order."""
    notes: list[Note] = []
    for file in folder.iterdir():
        for line in file.read_text().splitlines():
            sign, run_id, process, at = line.split()
            notes.append(Note(sign, run_id, int(process), float(at)))
    return sorted(notes, key=lambda note: note.at)


@contextmanager
def noted() -> Iterator[int]:
    """Note start and end; gives the number of retries so far."""
    attempt = current_attempt.get()
    assert attempt is not None
    _write("+", attempt.run_id)
    try:
        yield attempt.retries
    finally:
        _write("-", attempt.run_id)


def insist(do: Callable[[], T], seconds: float = 60.0) -> T:
    """What every sender does that wants to survive the absence of the server: try again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return do()
        except BrokerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@task
def noop(number: int) -> int:
    with noted():
        return number


@task
def doze(number: int, seconds: float) -> int:
    with noted():
        time.sleep(seconds)
        return number


@task
async def doze_async(number: int, seconds: float) -> int:
    with noted():
        await asyncio.sleep(seconds)
        return number


@task(concurrency=("chaos", 3))
def limited(number: int) -> int:
    """At most three at once in the whole fleet."""
    with noted():
        time.sleep(0.002)
        return number


@task
def add(*numbers: int) -> int:
    with noted():
        return sum(numbers)


@task(retries=2, retry_delay_seconds=0.1)
def fail_first(number: int) -> int:
    with noted() as retries:
        if not retries:
            raise ValueError("the first time")
        return number


@task(retries=1, retry_delay_seconds=0.1)
def fail_always(number: int) -> int:
    with noted():
        raise ValueError(f"always {number}")


@task
def tick(deployed: int) -> int:
    """Called by schedules; of the deployment of that number."""
    with noted():
        return deployed


@task
def leaf(number: int) -> int:
    with noted():
        return number + 1


@task
def tree(number: int) -> int:
    """Submits three others and waits for them."""
    with noted():
        futures: list[Any] = [insist(lambda i=i: leaf.submit(number + i)) for i in range(3)]  # type: ignore[misc]
        return sum(insist(lambda future=future: future.result(timeout=100)) for future in futures)  # type: ignore[misc]
