"""One connection, driven directly.

redis-py's ``execute_command`` costs about 50 microseconds a call on top of the round trip and repeats commands behind
the caller's back; a wire packs, writes and reads by itself, over redis-py's connection objects (which know TLS, unix
sockets, passwords), and repeats only where a verb is safe to repeat. Errors leave as ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import redis.exceptions as server_says
from redis import connection as redis_connections
from redis.backoff import NoBackoff
from redis.retry import Retry

from brokers.errors import (
    AuthenticationFailed,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    OrchestratorError,
    QueueFull,
    StoreFull,
    UnsupportedServer,
)
from brokers.urls import ServerAddress

from .scripts import Script

MINIMUM_VERSION: Final = (7, 0)
_GONE = (
    server_says.ConnectionError,
    server_says.TimeoutError,
    server_says.ReadOnlyError,
    server_says.ClusterDownError,
    server_says.MasterDownError,
    server_says.TryAgainError,
    OSError,
)
_DENIED = (server_says.AuthenticationError, server_says.AuthorizationError, server_says.NoPermissionError)
_DENIALS = ("WRONGPASS", "NOAUTH", "The user executing the script can't", "ACL failure in script")


def translate(error: Exception, where: str, sent: bool = False) -> BrokerError:
    """Our error for one of redis-py's; ``where`` is a masked address for the message, ``sent``: a reply is lost."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, _DENIED) or any(word in str(error) for word in _DENIALS):
        return AuthenticationFailed(
            f"{where} refuses this user: {str(error).rstrip('.')}. "
            "Check the user and password in ORCHESTRATOR_REDIS_URL and the ACL."
        )
    if isinstance(error, server_says.OutOfMemoryError):
        return StoreFull(f"{where} is out of memory; nothing was stored. Raise maxmemory or wait until calls are done.")
    if "QUEUEFULL" in str(error):
        return QueueFull(
            f"{str(error).partition('QUEUEFULL ')[2]}; nothing was sent. "
            "Add workers, or raise ORCHESTRATOR_QUEUE_LIMIT."
        )
    if isinstance(error, server_says.AskError):  # MOVED is one of these
        return BrokerRefused(
            f"{where} is a node of a cluster, and this namespace is kept by another one: {error}. "
            "Set ORCHESTRATOR_REDIS_URL to that node; the slots of one namespace must not be moved while it is in use."
        )
    if isinstance(error, server_says.InvalidResponse):
        return UnsupportedServer(f"{where} answers, but not like Redis or Valkey. Is the address right?")
    if isinstance(error, _GONE):
        done = "it may have got the command: repeat calls with an idempotency_key" if sent else "try again"
        return BrokerUnavailable(f"{where} does not answer ({error}). Nothing was half-sent; {done}.")
    return BrokerRefused(f"{where} refused: {error}")


class Connection(Protocol):
    """What we use of redis-py's connection objects (which are not annotated)."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def pack_commands(self, commands: Sequence[Sequence[Any]]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...
    def read_response(self, *, disable_decoding: bool, timeout: float) -> Any: ...


class Wire:
    """A connection for one thread at a time."""

    def __init__(self, connection: Connection, where: str, timeout_seconds: float) -> None:
        self._connection = connection
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._closed = False
        self.used = False  # it has answered, and can be used again

    def command(self, *arguments: Any, block_seconds: float = 0.0) -> Any:
        """Send one command and return its reply (bytes are not decoded); it may block so long in the server."""
        return self.commands([arguments], block_seconds)[0]

    def commands(self, batch: Sequence[Sequence[Any]], block_seconds: float = 0.0) -> list[Any]:
        """Send commands in one write and return their replies; the first error reply is raised after all were read."""
        replies = self._exchange(batch, block_seconds)
        for reply in replies:
            if isinstance(reply, Exception):
                raise translate(reply, self._where) from reply
        return replies

    def _exchange(self, batch: Sequence[Sequence[Any]], block_seconds: float = 0.0) -> list[Any]:
        connection, seconds = self._connection, self._timeout_seconds + block_seconds
        if self._closed:  # redis-py would open it again, behind the back of whoever closed it
            raise BrokerUnavailable(f"this connection to {self._where} is closed")
        try:
            connection.send_packed_command(connection.pack_commands(batch), check_health=False)
            replies = [self._read(seconds) for _ in batch]
        except OrchestratorError:  # the time of the task that sends is over (raised in its thread by another)
            self.close()
            raise
        except Exception as error:
            self.close()
            raise translate(error, self._where, sent=not isinstance(error, server_says.BusyLoadingError)) from error
        except BaseException:  # cancelled, or Ctrl-C: the next user would take the rest of these replies for its own
            self.close()
            raise
        self.used = True
        return replies

    def _read(self, seconds: float) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True, timeout=seconds)
        except server_says.ResponseError as error:
            return error  # the stream of replies is intact: the other replies of the batch must still be read

    def run(self, *calls: tuple[Script, bytes], prefix: str) -> list[bytes]:
        """Run scripts in one round trip; a server that does not know them (restart, failover, flush) is taught."""
        replies = self._exchange([("EVALSHA", script.sha, 1, prefix, blob) for script, blob in calls])
        for index, reply in enumerate(replies):
            if isinstance(reply, server_says.NoScriptError):
                script, blob = calls[index]
                (replies[index],) = self.commands([("EVAL", script.text, 1, prefix, blob)])
            elif isinstance(reply, Exception):
                raise translate(reply, self._where) from reply
        return replies

    def close(self) -> None:
        """Close; a thread that is blocked in a read on this wire wakes with an error."""
        self._closed, self.used = True, False
        self._connection.disconnect()


def _open(address: ServerAddress, options: dict[str, Any]) -> Connection:
    options = {"db": address.db, "username": address.username, "password": address.password, **options}
    kinds: Any = redis_connections
    connection: Connection
    if address.path:
        connection = kinds.UnixDomainSocketConnection(path=address.path, **options)
        return connection
    host, port = _master(address) if address.service else (address.host, address.port)
    if address.tls:
        connection = kinds.SSLConnection(host=host, port=port, **_tls_options(address), **options)
    else:
        connection = kinds.Connection(host=host, port=port, **options)
    return connection


def _tls_options(address: ServerAddress) -> dict[str, Any]:
    names = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    return {name: value for name in names if (value := getattr(address, name)) is not None}


def _master(address: ServerAddress) -> tuple[str, int]:
    """Who is the master now, as the sentinels say."""
    from redis import sentinel as sentinels

    options: dict[str, Any] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    if address.tls:
        options |= {"ssl": True, **_tls_options(address)}
    if address.sentinel_password:
        options |= {"username": address.sentinel_username, "password": address.sentinel_password}
    make: Any = sentinels.Sentinel
    host, port = make(list(address.sentinels), sentinel_kwargs=options).discover_master(address.service)
    return str(host), int(port)


def name_of(address: ServerAddress) -> str:
    """The server for messages; never its password."""
    if address.service:
        return f"{address.service} (by its sentinels)"
    return address.path or f"{address.host}:{address.port}"


class Wires:
    """The wires of a process to one server: a few that are shared, call by call, and dedicated ones for blocking reads.

    Args:
        locate: finds the server's address; asked again for every new connection, so that a restarted private server
            or a failed-over master is found.
        command_timeout_seconds: how long a reply may take.
        connect_timeout_seconds: how long a connection may take to open.
    """

    def __init__(
        self,
        locate: Callable[[], ServerAddress],
        *,
        command_timeout_seconds: float = 1.5,
        connect_timeout_seconds: float = 0.5,
    ) -> None:
        self._locate = locate
        self._command_timeout = command_timeout_seconds
        self._connect_timeout = connect_timeout_seconds
        self._free: list[Wire] = []
        self._lock = threading.Lock()
        self._checked = False
        self._pid = os.getpid()

    def open(self) -> Wire:
        """A new wire."""
        address = self._locate()
        where = name_of(address)
        try:
            connection = self._make(address)
        except Exception as error:
            raise translate(error, where) from error
        wire = Wire(connection, where, self._command_timeout)
        try:
            connection.connect()
            if not self._checked:
                self._check_version(wire, where)
        except Exception as error:
            wire.close()
            raise translate(error, where) from error
        return wire

    def _make(self, address: ServerAddress) -> Connection:
        return _open(
            address,
            {
                "socket_timeout": self._command_timeout,
                "socket_connect_timeout": self._connect_timeout,
                "retry": Retry(NoBackoff(), 0),
                "protocol": 2,
                "health_check_interval": 0,
                "client_name": "orchestrator",
                "driver_info": None,  # two commands less for each connection, which an ACL would have to allow
            },
        )

    def _check_version(self, wire: Wire, where: str) -> None:
        info = wire.command("INFO", "server")
        lines = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        version = lines.get("redis_version", "0")
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
            raise UnsupportedServer(f"{where} is Redis {version}; Redis 7.0 or Valkey 7.2 or newer is needed.")
        self._checked = True

    @contextmanager
    def borrow(self) -> Iterator[Wire]:
        """A shared wire for the length of the block."""
        wire = self._take()
        try:
            yield wire
        finally:
            if wire.used:
                with self._lock:
                    self._free.append(wire)

    def _take(self) -> Wire:
        if self._pid != os.getpid():  # forked: the parent owns those sockets
            self._free, self._lock, self._pid = [], threading.Lock(), os.getpid()
        with self._lock:
            if self._free:
                return self._free.pop()
        return self.open()

    def run(self, *calls: tuple[Script, bytes], prefix: str) -> list[bytes]:
        """Run scripts on a shared wire."""
        return self._on_shared(lambda wire: wire.run(*calls, prefix=prefix))

    def commands(self, batch: Sequence[Sequence[Any]]) -> list[Any]:
        """Plain commands on a shared wire; they must be safe to repeat."""
        return self._on_shared(lambda wire: wire.commands(batch))

    def _on_shared(self, send: Callable[[Wire], list[Any]]) -> list[Any]:
        # A wire that was idle may have been cut meanwhile: one fresh try then.
        with self.borrow() as wire:
            stale = wire.used
            try:
                return send(wire)
            except BrokerUnavailable as error:
                wire.close()
                if not stale or isinstance(error.__cause__, server_says.TimeoutError):
                    raise
        self._drop_free()
        fresh = self.open()
        replies = send(fresh)
        with self._lock:
            self._free.append(fresh)
        return replies

    @property
    def used(self) -> bool:
        """Whether a server has been reached at least once."""
        return self._checked

    def _drop_free(self) -> None:
        with self._lock:
            stale, self._free = self._free, []
        for wire in stale:
            wire.close()

    def close(self) -> None:
        """Close the shared wires. They open again when they are needed."""
        self._drop_free()
