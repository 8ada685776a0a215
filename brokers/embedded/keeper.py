"""The keeper of the private server: starts it, waits until nobody uses it any more, stops it.

Run as a plain file, ``python -I -S embedded_keeper.py HOME SOCKET BINARY``, so that it costs ten milliseconds and a few
megabytes; that is why it imports nothing but cheap modules of the standard library. Its duties:

1. hold ``keeper.lock`` for its whole life: whoever finds that lock free knows that there is no keeper;
2. end what an earlier keeper, killed outright, left behind: a server, its socket;
3. start the server as its child, on Linux in such a way that the server ends when the keeper is killed;
4. wait in ``flock(users.lock)``. Every user holds that lock shared; the kernel grants it to the keeper when the last of
   them has exited or died, however it died;
5. stop the server, remove its files and exit. So it does on SIGTERM too, then without asking whether there are users.

It holds ``start.lock`` while it stops because nobody is left: a user who arrives then waits and starts a new server
instead of getting a dying one. When the server dies by itself the keeper exits, and the next user starts both anew.

The lock files themselves are never removed: two processes would hold "the same" lock on two files of one name.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

KEEPER_LOCK: Final = "keeper.lock"  # exclusive: the keeper, for life; holds its pid
USERS_LOCK: Final = "users.lock"  # shared: every process that uses the server
START_LOCK: Final = "start.lock"  # exclusive: whoever is about to start the server, or to stop it
SERVER_LOCK: Final = "server.lock"  # exclusive: inherited by the server, free when it is really gone; holds its pid
STATE_FILE: Final = "server.json"  # what is running, for everybody to read
LASTING_MARK: Final = "lasting"  # while it exists, the last user does not end the server
LOG_FILE: Final = "server.log"
DATA_FOLDER: Final = "data"

ANOTHER_KEEPER: Final = 3
"""Exit code: ``keeper.lock`` is held by somebody else."""

_LAST_USER_GONE: Final = 0  # beside the numbers of signals, which start at 1
_SERVER_GRACE_SECONDS: Final = 8.0  # below the patience of a starter, who waits for us meanwhile
_PR_SET_PDEATHSIG: Final = 1


def open_lock(home: str | os.PathLike[str], name: str) -> int:
    """Open (create) a lock file of ``home``; returns a descriptor which programs started later do not inherit."""
    return os.open(os.path.join(home, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(lock: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take a lock if it is free now."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_within(lock: int, seconds: float) -> bool:
    """Take a lock exclusively, waiting ``seconds`` for it at most."""
    return _happens_within(seconds, lambda: try_lock(lock))


def read_pid(lock: int) -> int:
    """The process id written in a lock file, 0 if there is none."""
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else 0


def server_command(binary: str, socket_path: str, data: str) -> list[str]:
    """The command line of the server; everything it needs is in it, there is no configuration file."""
    options = {
        "port": "0",
        "unixsocket": socket_path,
        "unixsocketperm": "700",
        "dir": data,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "hash-max-listpack-value": "4096",
    }
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


class Keeper:
    """One server from its start to its end. ``keeper_lock`` is held and stays so until the last file is removed."""

    def __init__(self, home: str, socket_path: str, binary: str, keeper_lock: int) -> None:
        self.home = home
        self.socket_path = socket_path
        self.binary = binary
        self.keeper_lock = keeper_lock
        # Opened once: they must keep their meaning when somebody removes the folder under us.
        self.users_lock = open_lock(home, USERS_LOCK)
        self.start_lock = open_lock(home, START_LOCK)
        self.server_pid = 0
        self.events, self.wake = os.pipe()

    def run(self) -> None:
        self._listen_to_signals()
        server_lock = self._end_previous_server()
        _remove(self.socket_path)
        self.server_pid = self._start_server(server_lock)
        os.close(server_lock)  # from here on it is the server's alone
        self._publish()
        threading.Thread(target=self._wait_for_the_last_user, daemon=True).start()
        if self._wait_for_the_end():
            self._stop_server()
        self._clean_up()

    def _listen_to_signals(self) -> None:
        # Through a pipe, because a signal that arrives just before a blocking call would otherwise be noticed after it.
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _end_previous_server(self) -> int:
        """Return ``server.lock``, taken: only then is no other server writing into the data folder."""
        lock = open_lock(self.home, SERVER_LOCK)
        for number, seconds in ((signal.SIGTERM, 4.0), (signal.SIGKILL, 2.0)):
            if try_lock(lock):
                break
            say(f"a server without a keeper is still here, sending it {number.name}")
            _signal_group(read_pid(lock), number)
            if lock_within(lock, seconds):
                break
        else:
            sys.exit("keeper: an earlier server cannot be ended")
        os.ftruncate(lock, 0)
        return lock

    def _start_server(self, server_lock: int) -> int:
        command = server_command(self.binary, self.socket_path, os.path.join(self.home, DATA_FOLDER))
        keeper, end_with_parent = os.getpid(), _end_with_parent()
        pid = os.fork()
        if pid == 0:
            _become_server(command, server_lock, keeper, end_with_parent)
        return pid

    def _publish(self) -> None:
        state = {
            "keeper_pid": os.getpid(),
            "server_pid": self.server_pid,
            "socket": self.socket_path,
            "started_at": time.time(),
        }
        path = os.path.join(self.home, STATE_FILE)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(state, file)
        os.replace(f"{path}.new", path)

    def _wait_for_the_last_user(self) -> None:
        """Runs in a thread, so that signals and the death of the server are noticed all the while."""
        while True:
            fcntl.flock(self.users_lock, fcntl.LOCK_EX)
            # Given back at once: a user who is arriving holds start.lock and waits for this one.
            fcntl.flock(self.users_lock, fcntl.LOCK_UN)
            fcntl.flock(self.start_lock, fcntl.LOCK_EX)
            if os.path.exists(os.path.join(self.home, LASTING_MARK)):
                fcntl.flock(self.start_lock, fcntl.LOCK_UN)
                return  # only SIGTERM ends a lasting server
            if try_lock(self.users_lock):
                os.write(self.wake, bytes((_LAST_USER_GONE,)))
                return  # both locks stay ours until this process has ended
            fcntl.flock(self.start_lock, fcntl.LOCK_UN)

    def _wait_for_the_end(self) -> bool:
        """Wait; returns whether there is a server left to stop."""
        while True:
            event = os.read(self.events, 1)[0]
            if event == signal.SIGCHLD and self._server_has_ended():
                say("the server has ended by itself")
                return False
            if event == signal.SIGTERM:
                say("asked to stop")
                return True
            if event == _LAST_USER_GONE:
                say("nobody uses the server any more")
                return True

    def _stop_server(self) -> None:
        # Newcomers must not reach it any more. The server would remove the socket too, only a little later.
        _remove(self.socket_path)
        os.kill(self.server_pid, signal.SIGTERM)
        if not _happens_within(_SERVER_GRACE_SECONDS, self._server_has_ended):
            say("the server does not stop, killing it")
            _signal_group(self.server_pid, signal.SIGKILL)
            os.waitpid(self.server_pid, 0)

    def _server_has_ended(self) -> bool:
        return os.waitpid(self.server_pid, os.WNOHANG)[0] != 0

    def _clean_up(self) -> None:
        _remove(self.socket_path)
        _remove(os.path.join(self.home, STATE_FILE))
        with suppress(OSError):  # somebody keeps something there; the folder does no harm
            os.rmdir(os.path.dirname(self.socket_path))
        os.ftruncate(self.keeper_lock, 0)
        # Before start.lock, which goes with the process: who gets that one must find this one free.
        os.close(self.keeper_lock)


def say(text: str) -> None:
    """Write a line into the server's log, where standard error leads."""
    print(f"keeper {os.getpid()}: {text}", file=sys.stderr, flush=True)


def _end_with_parent() -> Callable[[], object]:
    """What a child calls to be sent SIGTERM when its parent dies. Prepared before the fork, as it loads a library."""
    if not sys.platform.startswith("linux"):
        return lambda: None  # the next keeper ends such a server
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _become_server(
    command: list[str], server_lock: int, keeper: int, end_with_parent: Callable[[], object]
) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent()
        if os.getppid() != keeper:  # it died before we asked for its signal
            os._exit(1)
        os.setpgid(0, 0)  # with the children that rewrite its file, see _signal_group
        os.pwrite(server_lock, str(os.getpid()).encode(), 0)
        os.set_inheritable(server_lock, True)
        os.execv(command[0], command)
    except OSError as error:
        say(f"cannot run {command[0]}: {error}")
    finally:
        os._exit(127)


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # ended meanwhile
        if leader:
            os.killpg(leader, number)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _happens_within(seconds: float, happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def main(home: str, socket_path: str, binary: str) -> int:
    """Become a keeper in the background; returns in the foreground when ``keeper.lock`` is held (or cannot be)."""
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a starter may have blocked signals, and we inherit that
    keeper_lock = open_lock(home, KEEPER_LOCK)
    if not lock_within(keeper_lock, 1.0):  # not at once: somebody may just be looking whether it is free
        return ANOTHER_KEEPER
    os.ftruncate(keeper_lock, 0)
    # The lock passes to the child. The starter gets an end to wait for and no zombie later.
    if child := os.fork():
        os.pwrite(keeper_lock, str(child).encode(), 0)
        os._exit(0)
    Keeper(home, socket_path, binary, keeper_lock).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
