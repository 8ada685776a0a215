"""A bad network on one machine: a proxy before a real server that counts commands and breaks the one it is told to.

Every connection is served in lockstep by one thread: read a command, forward it, read its reply, return it. A pipeline
is thus taken apart into its commands, so that "cut before the second command of a pipeline" means something. A command
is named by what it does (``submit``, ``XREADGROUP``, ``EVAL fetch``), and a :class:`Point` is the n-th of that name:
that is the same moment in every run, whatever other threads of the program send meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import shutil
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from brokers.redis.scripts import load
from brokers.urls import parse_url

SHORT_WAYS: Final = {"send": "submit", "send_block": "submit", "done": "complete"}
"""Scripts that do for plain calls what another one does for all."""


@cache
def script_names() -> dict[bytes, str]:
    """The names of our scripts by their SHA1."""
    names = (file.name for file in files("brokers.redis.scripts").iterdir() if file.name.endswith(".lua"))
    verbs = sorted(name.removesuffix(".lua") for name in names)
    return {load(verb).sha.encode(): SHORT_WAYS.get(verb, verb) for verb in verbs}


class Fault(NamedTuple):
    """What is done to one command."""

    name: str
    executed: bool  # whether the server gets the command
    answered: bool = False  # whether the program gets a reply
    delay_seconds: float = 0.0
    reply: bytes = b""  # instead of the server's
    hold_seconds: float = 0.0  # before the server gets it


def delayed(seconds: float) -> Fault:
    """The reply comes late."""
    return Fault("late reply", True, True, seconds)


def held(seconds: float) -> Fault:
    """The command itself arrives late, perhaps after the program has given it up."""
    return Fault("late command", True, True, hold_seconds=seconds)


def refused(error: str) -> Fault:
    """An error instead of a reply; the server never hears of the command."""
    return Fault(f"-{error.split()[0]}", False, True, 0.0, f"-{error}\r\n".encode())


CUT_BEFORE: Final = Fault("cut before", False)
CUT_AFTER: Final = Fault("cut after", True)
OOM: Final = refused("OOM command not allowed when used memory > 'maxmemory'.")
READONLY: Final = refused("READONLY You can't write against a read only replica.")
NOSCRIPT: Final = refused("NOSCRIPT No matching script. Please use EVAL.")
LOADING: Final = refused("LOADING Redis is loading the dataset in memory")
MOVED: Final = refused("MOVED 3999 127.0.0.1:1")
CLUSTERDOWN: Final = refused("CLUSTERDOWN The cluster is down")
NOPERM: Final = refused("NOPERM User worker has no permissions to run the 'evalsha' command")


class Point(NamedTuple):
    """The n-th command of a name."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name}#{self.number}"


class Closed(Exception):
    """One end of a connection is gone."""


class FaultProxy:
    """Stands in front of a server; use it as a context manager.

    Args:
        target: URL of the real server, ``unix://`` or ``redis://host:port``.
        tcp: listen on a port of localhost instead of a unix socket.
        on_reply: called when the server has done a command, before the program hears of it.
    """

    def __init__(self, target: str, *, tcp: bool = False, on_reply: Callable[[], object] = lambda: None) -> None:
        self.on_reply = on_reply
        self._target = parse_url(target)
        self._folder = Path(tempfile.mkdtemp(prefix="orc-p"))
        self._path = None if tcp else self._folder / "p.sock"
        self._port = 0
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._counts: Counter[str] = Counter()
        self._point: Point | None = None
        self._fault = CUT_BEFORE
        self.seen: list[Point] = []
        """Every command since :meth:`reset`, in the order in which they came."""
        self.hit = threading.Event()
        """Set once the fault has been injected."""
        self.over = threading.Event()
        """Set once nothing of the broken command is on the way any more."""
        self._hole = threading.Condition()
        self._in_hole = False
        self._dead: set[_Connection] = set()  # connections that will never be served again

    # -- where it is ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL for the program under test."""
        return f"unix://{self._path}" if self._path else f"redis://127.0.0.1:{self._port}"

    def __enter__(self) -> FaultProxy:
        self.accept()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.refuse()
        self.heal()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- faults at one command -----------------------------------------------------------------------------------

    def reset(self) -> None:
        """Count from one again."""
        with self._lock:
            self._counts.clear()
            self.seen = []

    def break_at(self, point: Point, fault: Fault) -> None:
        """Inject this fault, once."""
        with self._lock:
            self._point, self._fault = point, fault
            self.hit.clear()
            self.over.clear()

    # -- faults of the whole connection --------------------------------------------------------------------------

    def refuse(self) -> None:
        """Nobody is there: connections are cut, new ones are refused."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        if self._path:
            self._path.unlink(missing_ok=True)
        self.cut_all()

    def accept(self) -> None:
        """Be there again, at the same address."""
        if self._path:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self._path))
        else:
            listener = socket.socket(socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            self._port = listener.getsockname()[1]
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()

    def cut_all(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def black_hole(self) -> None:
        """Take everything and answer nothing, until :meth:`heal`."""
        with self._hole:
            self._in_hole = True

    def heal(self, *, forget: bool = False) -> None:
        """Serve again. What was sent meanwhile arrives late; with ``forget`` those connections stay dead for ever."""
        with self._hole:
            if forget:
                self._dead |= self._connections
            self._in_hole = False
            self._hole.notify_all()

    # -- the connections' threads --------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, client)
            with self._lock:
                self._connections.add(connection)
                connection.thread.start()

    def dial(self) -> socket.socket:
        """A connection to the real server."""
        if self._target.path:
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(self._target.path)
            return upstream
        return socket.create_connection((self._target.host, self._target.port))

    def done(self, connection: _Connection) -> None:
        """A connection has ended."""
        with self._lock:
            self._connections.discard(connection)
            self._dead.discard(connection)

    def pass_the_hole(self, connection: _Connection) -> None:
        """Wait here while nothing is served. Raises Closed for a connection that stays dead."""
        if not self._in_hole and connection not in self._dead:
            return
        with self._hole:
            self._hole.wait_for(lambda: not self._in_hole)
        if connection in self._dead:
            connection.wait_until_closed()
            raise Closed

    def note(self, command: bytes) -> Fault | None:
        """Count a command; the fault, if this is the one."""
        name = self._name_of(parts_of(command))
        with self._lock:
            self._counts[name] += 1
            point = Point(name, self._counts[name])
            self.seen.append(point)
            if point != self._point:
                return None
            self._point = None
        self.hit.set()
        return self._fault

    def _name_of(self, parts: list[bytes]) -> str:
        name = parts[0].upper().decode()
        if name == "EVALSHA":
            return script_names().get(parts[1], "EVALSHA ?")
        if name == "EVAL":
            return "EVAL " + script_names().get(hashlib.sha1(parts[1]).hexdigest().encode(), "?")
        return " ".join(part.decode() for part in parts[:3]) if name == "CLIENT" else name


class _Connection:
    """One connection through the proxy, and its thread."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream: socket.socket | None = None
        self._from_client = bytearray()
        self._from_server = bytearray()
        self.thread = threading.Thread(target=self._run, name="proxy-connection", daemon=True)

    def close(self) -> None:
        """Cut it; its thread ends."""
        for end in (self._client, self._upstream):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def wait_until_closed(self) -> None:
        """Until the program under test gives up."""
        with contextlib.suppress(OSError):
            while self._client.recv(65536):
                pass

    def _run(self) -> None:
        try:
            self._proxy.pass_the_hole(self)
            self._upstream = self._proxy.dial()
            while True:
                self._serve_one()
        except (Closed, OSError):
            pass
        finally:
            self._proxy.done(self)
            for end in (self._client, self._upstream):
                if end is not None:
                    end.close()

    def _serve_one(self) -> None:
        command = self._next_command()
        fault = self._proxy.note(command)
        try:
            self._answer(command, fault)
        finally:
            if fault is not None:
                self._proxy.over.set()

    def _answer(self, command: bytes, fault: Fault | None) -> None:
        self._proxy.pass_the_hole(self)
        reply = b""
        if fault is None or fault.executed:
            assert self._upstream is not None
            if fault is not None:
                self._sleep(fault.hold_seconds)
            self._upstream.sendall(command)
            reply = self._next_reply()
            self._proxy.on_reply()
        if fault is not None:
            if not fault.answered:
                raise Closed
            self._sleep(fault.delay_seconds)
            reply = fault.reply or reply
        self._proxy.pass_the_hole(self)
        self._client.sendall(reply)

    def _sleep(self, seconds: float) -> None:
        if seconds:
            threading.Event().wait(seconds)

    def _next_command(self) -> bytes:
        while True:
            end = frame_end(self._from_client, 0)
            if end > 0:
                return _take(self._from_client, end)
            _receive(self._client, self._from_client)

    def _next_reply(self) -> bytes:
        """The server's reply. A program that goes away meanwhile takes its connection to the server with it."""
        assert self._upstream is not None
        poller = select.poll()
        poller.register(self._client, select.POLLIN)
        poller.register(self._upstream, select.POLLIN)
        while True:
            end = frame_end(self._from_server, 0)
            if end > 0:
                return _take(self._from_server, end)
            for descriptor, _ in poller.poll():
                if descriptor == self._client.fileno():
                    _receive(self._client, self._from_client)
                else:
                    _receive(self._upstream, self._from_server)


def _receive(source: socket.socket, buffer: bytearray) -> None:
    more = source.recv(262_144)
    if not more:
        raise Closed
    buffer += more


def _take(buffer: bytearray, size: int) -> bytes:
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


# -- RESP, as far as it is needed to know where a frame ends -------------------------------------------------------


def frame_end(buffer: bytearray, start: int) -> int:
    """Where the frame that begins at ``start`` ends; -1 while it is not complete.

    >>> frame_end(bytearray(b"*2\\r\\n$1\\r\\na\\r\\n:5\\r\\n+rest"), 0)
    15
    """
    line_end = buffer.find(b"\r\n", start)
    if line_end < 0:
        return -1
    kind, at = buffer[start : start + 1], line_end + 2
    if kind in b"+-:_,#(":
        return at
    size = int(buffer[start + 1 : line_end])
    if kind in b"$!=":
        end = at + size + 2 if size >= 0 else at
        return end if end <= len(buffer) else -1
    for _ in range(size * 2 if kind == b"%" else size):
        at = frame_end(buffer, at)
        if at < 0:
            return -1
    return at


def parts_of(command: bytes) -> list[bytes]:
    """The words of a command."""
    parts: list[bytes] = []
    at = command.index(b"\r\n") + 2
    while at < len(command):
        line_end = command.index(b"\r\n", at)
        size = int(command[at + 1 : line_end])
        parts.append(command[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
    return parts
