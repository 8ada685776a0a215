"""Servers for tests: a Valkey or Redis program started by us, on a unix socket in a short folder of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import redis

from brokers.connect import acl_rules
from brokers.embedded.binary import find_server_binary
from brokers.errors import EmbeddedServerError
from tests.support.waiting import wait_until

PROGRAMS = ("embedded", "redis-server")
"""``embedded``: what a user without a server gets. ``redis-server``: the distribution's, the oldest that we support."""

PASSWORD = "pass-of-the-tests"


def find_program(name: str) -> Path | None:
    """The program of that name on this machine."""
    if name == "embedded":
        try:
            return find_server_binary()
        except EmbeddedServerError:
            return None
    found = shutil.which(name)
    return Path(found) if found else None


class ServerProcess:
    """A server that can be stopped, killed and started again. It keeps nothing on disk.

    Args:
        program: the server program.
        options: further options of its command line.
        tcp: listen on a free port of localhost as well.
    """

    def __init__(self, program: Path, *options: str, tcp: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="orc-"))  # a socket's path may have about 103 bytes
        self.socket = self.folder / "s.sock"
        self.port = free_port() if tcp else 0
        self._command = [str(program), "--port", str(self.port), "--unixsocket", str(self.socket)]
        self._command += ["--dir", str(self.folder), "--save", "", "--appendonly", "no", "--maxmemory-policy"]
        self._command += ["noeviction", "--bind", "127.0.0.1", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._least_rights = program.name == "redis-server"  # the oldest server stands for the strictest operator
        self._users: dict[str, list[str]] = {}

    @property
    def url(self) -> str:
        """Where to find it."""
        return f"unix://{self.socket}"

    def url_for(self, namespace: str) -> str:
        """Where to find it, for the clients and workers of a namespace.

        On ``redis-server`` they come as a user with the rights that ``orchestrator acl`` prints, and no others.
        """
        if not self._least_rights:
            return self.url
        user = f"user-of-{namespace}"
        if user not in self._users:
            rules = acl_rules(namespace, user).replace("CHANGE-ME", PASSWORD).split()[3:]
            with self.client() as client:
                assert client.execute_command("ACL", "SETUSER", user, *rules)
            self._users[user] = rules
        return f"unix://{user}:{PASSWORD}@{self.socket}"

    @property
    def tcp_url(self) -> str:
        """Where to find it on localhost."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> redis.Redis:
        """A plain client, for what the project's own code cannot do."""
        return redis.Redis(unix_socket_path=str(self.socket), **options)

    def start(self) -> ServerProcess:
        self.socket.unlink(missing_ok=True)
        users = [word for user, rules in self._users.items() for word in ("--user", user, *rules)]
        self._process = subprocess.Popen([*self._command, *users], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, message=f"{self._command[0]} answers")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{' '.join(self._command)} ended with {self._process.returncode}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return bool(probe.recv(64))
            except OSError:
                return False

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def dying_with_us(command: list[str]) -> list[str]:
    """The command, so that the kernel ends it when the tests are killed (where there is util-linux's ``setpriv``)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


def free_port() -> int:
    """A port of localhost that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
