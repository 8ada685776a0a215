"""Tasks of an app that notes each import, and does while it is imported what a test asks for."""

from __future__ import annotations

import os
import random
import socket
import threading
from pathlib import Path

from orchestrator import task

FOLDER = os.environ.get("STARTING_FOLDER")
if FOLDER:
    with Path(FOLDER, "imports").open("a") as file:
        file.write(f"{os.getpid()}\n")
    code = Path(FOLDER, "code")
    if code.exists():
        exec(code.read_text())
match os.environ.get("STARTING"):
    case "thread":
        threading.Thread(target=threading.Event().wait, name="of-the-app", daemon=True).start()
    case "socket":
        KEPT = socket.socketpair()
    case "log":
        LOG = open(os.environ["STARTING_LOG"], "a")  # noqa: SIM115


@task
def about_process() -> tuple[int, int, float, bool]:
    """Its id, its parent's, a random number, and whether it leads a session of its own."""
    return os.getpid(), os.getppid(), random.random(), os.getsid(0) == os.getpid()


@task
def exit_process(status: int) -> None:
    """End the process, as a crash does."""
    os._exit(status)
