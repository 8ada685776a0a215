"""What is known about the private server: whether it has a keeper, what it runs, whether it answers.

Read from the lock files, ``server.json`` and the socket. Nothing here creates, starts or stops anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from brokers.embedded import keeper as keeper
from brokers.errors import EmbeddedServerError


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A private server that is running.

    ``lasting`` says whether it stays when nobody uses it; ``started_at`` is in seconds since the epoch.
    """

    keeper_pid: int
    server_pid: int
    socket: Path
    url: str
    lasting: bool
    home: Path
    started_at: float


class Health(Enum):
    """What a server says when it is asked for a sign of life."""

    READY = "answers"
    LOADING = "reads its data"
    SILENT = "does not answer"


def status(home: Path) -> ServerStatus | None:
    """The private server of ``home`` if there is one, answering or about to, else ``None``. Creates and starts nothing.

    Example: ``status(default_home())``.
    """
    with explained(home):
        pid = keeper_pid(home)
        try:
            state = json.loads((home / keeper.STATE_FILE).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None  # not written yet; written atomically, so what cannot be read is not by a keeper
        if pid is None or state["keeper_pid"] != pid:
            return None  # left behind by a keeper that was killed; a present one has not written its own yet
        return ServerStatus(
            keeper_pid=pid,
            server_pid=state["server_pid"],
            socket=Path(state["socket"]),
            url=f"unix://{state['socket']}",
            lasting=(home / keeper.LASTING_MARK).exists(),
            home=home.resolve(),
            started_at=state["started_at"],
        )


def keeper_pid(home: Path) -> int | None:
    """The keeper's process id, 0 if it has not written it yet, ``None`` if there is no keeper."""
    try:
        lock = os.open(home / keeper.KEEPER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if keeper.try_lock(lock, fcntl.LOCK_SH):
            fcntl.flock(lock, fcntl.LOCK_UN)  # see _starting in embedded.py
            return None
        return keeper.read_pid(lock)
    finally:
        os.close(lock)


def url_if_ready(home: Path) -> str | None:
    """The URL of the server of ``home`` if it answers."""
    found = status(home)
    return found.url if found is not None and ping(found.socket) is Health.READY else None


def health(home: Path) -> Health:
    """Ask the server of ``home`` for a sign of life."""
    found = status(home)
    return ping(found.socket) if found is not None else Health.SILENT


def ping(path: Path) -> Health:
    """Ask the server behind a socket; a second without an answer is silence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
        except OSError:
            return Health.SILENT
    if answer.startswith(b"+PONG"):
        return Health.READY
    return Health.LOADING if answer.startswith(b"-LOADING") else Health.SILENT


@contextmanager
def explained(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"the folder {home} of the private server cannot be used: {error}; "
            f"set ORCHESTRATOR_HOME to another, or give the URL of a server that runs already"
        ) from error
