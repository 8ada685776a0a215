"""The private server: one Valkey per user and machine, there when it is used and gone when it is not.

:meth:`EmbeddedServer.ensure` gives the URL of a server that answers. The first process that asks starts it, the others
join; when the last one has exited, or died in whatever way, it ends. Its data stay in ``home`` for the next time.

Who does what: a process that uses the server holds ``users.lock`` shared. A small process of its own, the keeper (see
``embedded_keeper.py``), starts the server, waits for that lock and stops the server. Who starts holds ``start.lock``,
so that of many one starts. All of these are ``flock`` locks, which the kernel gives back when their holder is gone:
no file has to be believed that a dead process left behind.

A fork shares the lock of its parent: the server stays until both have ended. Programs started with ``subprocess`` do
not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NoReturn

from brokers.embedded import keeper as keeper
from brokers.embedded.binary import find_server_binary
from brokers.embedded.home import default_home, open_home, secret_key, socket_path
from brokers.embedded.status import Health, ServerStatus, explained, health, keeper_pid, status, url_if_ready
from brokers.errors import EmbeddedServerError

__all__ = ["EmbeddedServer", "ServerStatus", "default_home", "secret_key", "start_lasting", "status", "stop_lasting"]

PATIENCE_SECONDS: Final = 10.0
"""How long a server may show no sign of life. Loading its data is one: a large store may take minutes."""

_LONGEST_LOG: Final = 1024 * 1024  # bytes
_SHOWN_LOG_LINES: Final = 15


class EmbeddedServer:
    """This process's use of the private server whose state is in ``home`` (default: :func:`default_home`).

    Nothing happens before :meth:`ensure`. May be used by several threads, and on both sides of a fork. The use lasts
    until :meth:`release` or the end of the process, also when this object is forgotten: its URL may still be in use.

    Example::

        server = EmbeddedServer()
        client = redis.from_url(server.ensure())
    """

    def __init__(self, home: Path | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.home = home if home is not None else default_home()
        self._patience_seconds = patience_seconds
        self._users_lock: int | None = None
        self._turn = threading.Lock()
        self._pid = os.getpid()

    def ensure(self) -> str:
        """Return the URL (``unix:///...``) of a server that answers, starting one if need be.

        Cheap when it runs already; call it again after a lost connection, then it heals what there is to heal. Blocks
        meanwhile, usually for 0.1 s; an event loop calls it in a thread.

        Raises :class:`~brokers.errors.EmbeddedServerError` with the last lines of the server's log, at once when the
        server ends, after ``patience_seconds`` without a sign of life when it hangs.
        """
        with self._turn_of_this_process(), explained(self.home):
            if self._users_lock is not None and (url := url_if_ready(self.home)):
                return url
            home = open_home(self.home)
            with _starting(home, _Patience(self._patience_seconds)) as patience:
                lock = self._users_lock if self._users_lock is not None else _join(home)
                try:
                    url = _reach(home, patience)
                except BaseException:
                    if self._users_lock is None:
                        os.close(lock)
                    raise
                self._users_lock = lock
                return url

    def release(self) -> None:
        """Give up the use of this process; the server ends if it was the last. Harmless without :meth:`ensure`."""
        with self._turn_of_this_process():
            if self._users_lock is not None:
                # Closed, not unlocked: that would take the lock from the processes that we forked, too.
                os.close(self._users_lock)
                self._users_lock = None

    def running(self) -> ServerStatus | None:
        """What is running, started by whomever, or ``None``. Starts nothing."""
        return status(self.home)

    def _turn_of_this_process(self) -> threading.Lock:
        if self._pid != os.getpid():  # forked: a thread that exists only in the parent may hold the old one
            self._turn, self._pid = threading.Lock(), os.getpid()
        return self._turn


def start_lasting(home: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> ServerStatus:
    """Start the private server, or keep the one that is running, so that it stays when nobody uses it any more.

    It stays until :func:`stop_lasting`. After a crash or a reboot the next use starts it, and it lasts again.
    Raises :class:`~brokers.errors.EmbeddedServerError` like :meth:`EmbeddedServer.ensure`.

    Example: ``start_lasting(default_home()).url``.
    """
    with explained(home):
        home = open_home(home)
        with _starting(home, _Patience(patience_seconds)) as patience:
            users_lock = _join(home)
            try:
                _reach(home, patience)
                # Marked while we count as a user: the keeper cannot overlook it, and a failed start leaves no mark.
                (home / keeper.LASTING_MARK).touch(mode=0o600)
            finally:
                os.close(users_lock)
            found = status(home)
    if found is None:
        raise EmbeddedServerError(f"the private server of {home} has been stopped while it was starting")
    return found


def stop_lasting(home: Path, *, patience_seconds: float = PATIENCE_SECONDS + 5) -> bool:
    """Stop the private server, lasting or not, even if it is in use; returns whether there was one to stop.

    Returns when it has ended. A process that goes on using it starts a new one with its next ``ensure()``.
    Raises :class:`~brokers.errors.EmbeddedServerError` if it does not end within ``patience_seconds``.

    Example: ``stop_lasting(default_home())``.
    """
    if not home.exists():
        return False
    with explained(home), _starting(open_home(home), _Patience(patience_seconds)) as patience:
        (home / keeper.LASTING_MARK).unlink(missing_ok=True)
        asked = False
        while (pid := keeper_pid(home)) is not None:
            if pid and not asked:
                _ask_to_stop(pid)
                asked = True
            if not patience.wait_a_little():
                _give_up(home, "the private server does not stop")
        return asked


class _Patience:
    """How long is waited, counted from the last sign of life."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._until = time.monotonic() + self.seconds

    def wait_a_little(self) -> bool:
        """Sleep for 10 ms; returns whether patience is left."""
        time.sleep(0.01)
        return time.monotonic() < self._until


@contextmanager
def _starting(home: Path, patience: _Patience) -> Iterator[_Patience]:
    """Hold ``start.lock``: nobody else starts the server, and no keeper stops it because it is unused."""
    lock = keeper.open_lock(home, keeper.START_LOCK)
    try:
        while not keeper.try_lock(lock):
            if health(home) is Health.LOADING:
                patience.renew()
            if not patience.wait_a_little():
                _give_up(home, "another process is starting or stopping the private server and does not get on")
        patience.renew()
        yield patience
    finally:
        # Unlocked, not only closed: another thread may have forked, and its child holds this descriptor too.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _join(home: Path) -> int:
    """Become a user. Under ``start.lock``, so that no keeper is stopping the server at this moment."""
    lock = keeper.open_lock(home, keeper.USERS_LOCK)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _reach(home: Path, patience: _Patience) -> str:
    """Wait for a server that answers, starting it if there is no keeper. Under ``start.lock`` and as a user."""
    log_start: int | None = None
    while True:
        if url := url_if_ready(home):
            return url
        if keeper_pid(home) is None:
            if log_start is not None:
                _give_up(home, "the private server has ended while it was starting", log_start)
            log_start = _launch(home)
        elif health(home) is Health.LOADING:
            patience.renew()
        elif (found := status(home)) and _is_cut_off(found):
            _ask_to_stop(found.keeper_pid)
        if not patience.wait_a_little():
            _give_up(home, f"the private server does not answer for {patience.seconds:g} s", log_start or 0)


def _launch(home: Path) -> int | None:
    """Start a keeper; returns where in the log its words begin, ``None`` if another one was faster."""
    binary, place = find_server_binary(), socket_path(home)
    (home / keeper.DATA_FOLDER).mkdir(mode=0o700, exist_ok=True)
    log_file = os.open(home / keeper.LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(log_file, "ab") as log:
        if log.tell() > _LONGEST_LOG:
            log.truncate(0)
        log_start = os.fstat(log_file).st_size
        code = _run_keeper([home, place, binary], log)
    if code == keeper.ANOTHER_KEEPER:
        return None
    if code != 0:
        _give_up(home, f"the keeper of the private server could not be started (exit code {code})", log_start)
    return log_start


def _run_keeper(arguments: list[Path], log: IO[bytes]) -> int:
    """Run the keeper until it has gone into the background; returns the exit code of its foreground part."""
    try:
        return subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            timeout=PATIENCE_SECONDS,
        ).returncode
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(f"the keeper of the private server could not be started: {error}") from error


def _ask_to_stop(pid: int) -> None:
    """Send a keeper its SIGTERM; ``pid`` has just been read while its lock was held, so that it is no stale one."""
    with suppress(ProcessLookupError):  # it has ended by itself this very moment
        os.kill(pid, signal.SIGTERM)


def _is_cut_off(found: ServerStatus) -> bool:
    """Whether somebody has removed the socket of a running server (a logout does that to ``$XDG_RUNTIME_DIR``)."""
    return not found.socket.exists() and time.time() - found.started_at > 2.0


def _give_up(home: Path, why: str, log_start: int = 0) -> NoReturn:
    path = home / keeper.LOG_FILE
    try:
        shown = path.read_bytes()[log_start:].decode("utf-8", "replace").splitlines()[-_SHOWN_LOG_LINES:]
    except FileNotFoundError:
        shown = []
    lines = "".join(f"\n  {line}" for line in shown) or " nothing"
    raise EmbeddedServerError(f"{why}. The last lines of {path}:{lines}")
