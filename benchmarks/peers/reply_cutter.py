"""A TCP proxy that cuts one connection: the one over which the server is just telling a worker of a certain call.

Unlike the fault proxy of our tests it does not know commands (peers pipeline, block and subscribe, each in its way). It
looks for the call's id in what the server sends. The first reply that holds it is the one that hands the call out: the
server has executed the command, and the worker never learns of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

CHUNK = 262_144


class ReplyCutter:
    """Stands before a server on localhost; a context manager.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._pattern: bytes | None = None
        self._flowing = threading.Event()
        self._flowing.set()
        self.hit = threading.Event()
        """Set once the connection has been cut."""
        self.command = ""
        """The command whose reply was cut."""

    @property
    def url(self) -> str:
        """The server, seen through this."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> ReplyCutter:
        threading.Thread(target=self._accept, name="cutter", daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._flowing.set()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no reply passes: time to send a call, and to say with :meth:`cut_at` what it is called."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    def cut_at(self, call: str) -> None:
        """Cut the first connection over which the server sends this, once."""
        with self._lock:
            self._pattern = call.encode()

    def passes(self, seen: bytes, command: str) -> bool:
        """Whether these last bytes of a connection may go to the worker."""
        self._flowing.wait()
        with self._lock:
            if self._pattern is None or self._pattern not in seen:
                return True
            self._pattern = None
        self.command = command
        self.hit.set()
        return False

    def done(self, connection: _Connection) -> None:
        """A connection has ended."""
        with self._lock:
            self._open.discard(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                upstream = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            connection = _Connection(self, client, upstream)
            with self._lock:
                self._open.add(connection)
            connection.start()


class _Connection:
    """Two threads that pass on what comes, one for each direction."""

    def __init__(self, cutter: ReplyCutter, client: socket.socket, upstream: socket.socket) -> None:
        self._cutter, self._client, self._upstream = cutter, client, upstream
        self._command = ""

    def start(self) -> None:
        for pump in (self._commands, self._replies):
            threading.Thread(target=self._run, args=(pump,), name="cutter-connection", daemon=True).start()

    def cut(self) -> None:
        for end in (self._client, self._upstream):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _run(self, pump: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            pump()
        self.cut()
        self._cutter.done(self)

    def _commands(self) -> None:
        while more := self._client.recv(CHUNK):
            self._command = name_of(more) or self._command
            self._upstream.sendall(more)

    def _replies(self) -> None:
        seen = b""
        while more := self._upstream.recv(CHUNK):
            seen = seen[-100:] + more  # a call's id may come in two pieces
            if not self._cutter.passes(seen, self._command):
                return
            self._client.sendall(more)


def name_of(sent: bytes) -> str:
    """The command at the beginning of what a client has sent, empty when there is none.

    >>> name_of(b"*3\\r\\n$5\\r\\nbrpop\\r\\n$1\\r\\nq\\r\\n$1\\r\\n1\\r\\n")
    'BRPOP'
    """
    lines = sent[:200].split(b"\r\n")
    begins = len(lines) > 2 and lines[0][:1] == b"*" and lines[1][:1] == b"$"
    return lines[2].decode(errors="replace").upper() if begins else ""
