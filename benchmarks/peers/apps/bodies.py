"""What the tasks do, the same for every queue. Standard library only: this runs in the environments of the peers.

What happened is written to a file, a line per event: the text, the process, the first process of its worker (which is
started with its own id as ``WORKER`` in its environment) and the time.
"""

from __future__ import annotations

import os
import signal
import time


def write(path: str, text: str) -> None:
    """One line; a single write at the end of the file, so that lines of several processes do not mix."""
    line = f"{text} {os.getpid()} {os.environ['WORKER']} {time.time():.6f}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def add(a: int, b: int) -> int:
    """Nothing to speak of."""
    return a + b


def note(path: str, text: str, seconds: float = 0.0) -> None:
    """Works a little, and says so when it is done."""
    time.sleep(seconds)
    write(path, text)


def slow(path: str, text: str, seconds: float) -> None:
    """Says that it runs, and works for long the first time; when it is run again, it is soon done."""
    first = not os.path.exists(path)
    write(path, text)
    if first:
        time.sleep(seconds)


def poison(path: str, text: str) -> None:
    """Says that it runs, and kills its process."""
    write(path, text)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
