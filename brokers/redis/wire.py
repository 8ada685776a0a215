"""One connection, driven directly.

redis-py's ``execute_command`` costs about 50 microseconds a call on top of the round trip and repeats commands behind
the caller's back; a wire packs, writes and reads by itself, over redis-py's connection objects (which know TLS, unix
sockets, passwords), and repeats only where a verb is safe to repeat. Errors leave as ours.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import redis.exceptions as server_says
from redis.backoff import NoBackoff
from redis.retry import Retry

from brokers.errors import BrokerError, BrokerUnavailable, OrchestratorError, UnsupportedServer
from brokers.urls import ServerAddress

from .connect import Connection, connection_to, name_of, primary_of
from .dialogue import Dialogue
from .scripts import Script
from .translation import SlotElsewhere, translate, translate_opening

MINIMUM_VERSION: Final = (7, 0)
FOLLOW_PAUSE_SECONDS: Final = 0.05
MOST_IDLE: Final = 3  # shared wires that are kept open, however many threads once needed one at the same moment
ScriptCall: TypeAlias = tuple[Script, *tuple[bytes | str, ...]]
"""A script and its arguments; most take one."""


class Wire:
    """A connection for one thread at a time.

    Args:
        connection: to the server, not open yet.
        where: the server in messages.
        timeout_seconds: how long a reply may take.
        note: sees the errors with which the server replies, before they are translated.
    """

    def __init__(
        self, connection: Connection, where: str, timeout_seconds: float, note: Callable[[Exception], None]
    ) -> None:
        self._connection = connection
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._note = note
        self._closed = False
        self._dialogue: Dialogue | None = None
        self.used = False  # it has answered, and can be used again

    def command(self, *arguments: Any, block_seconds: float = 0.0) -> Any:
        """Send one command and return its reply (bytes are not decoded); it may block so long in the server."""
        return self.commands([arguments], block_seconds)[0]

    def commands(self, batch: Sequence[Sequence[Any]], block_seconds: float = 0.0) -> list[Any]:
        """Send commands in one write and return their replies; the first error reply is raised after all were read."""
        replies = self._exchange(batch, block_seconds)
        for reply in replies:
            if isinstance(reply, Exception):
                raise self._translated(reply) from reply
        return replies

    def _translated(self, reply: Exception) -> BrokerError:
        self._note(reply)
        return translate(reply, self._where)

    def _exchange(self, batch: Sequence[Sequence[Any]], block_seconds: float = 0.0) -> list[Any]:
        connection, seconds = self._connection, self._timeout_seconds + block_seconds
        if self._closed:  # redis-py would open it again, behind the back of whoever closed it
            raise BrokerUnavailable(f"this connection to {self._where} is closed")
        try:
            if self._dialogue is None:
                connection.connect()  # nothing, when it is open
                self._dialogue = Dialogue(connection)
            dialogue = self._dialogue
            dialogue.send(batch, seconds)
            replies = [dialogue.read() for _ in batch]
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

    def run(self, *calls: ScriptCall, prefix: str) -> list[Any]:
        """Run scripts in one round trip; a server that does not know them (restart, failover, flush) is taught."""
        replies = self._exchange([("EVALSHA", script.sha, 1, prefix, *arguments) for script, *arguments in calls])
        for index, reply in enumerate(replies):
            if isinstance(reply, server_says.NoScriptError):
                script, *arguments = calls[index]
                (replies[index],) = self.commands([("EVAL", script.text, 1, prefix, *arguments)])
            elif isinstance(reply, Exception):
                raise self._translated(reply) from reply
        return replies

    def close(self) -> None:
        """Close; a thread that is blocked in a read on this wire wakes with an error."""
        self._closed, self.used = True, False
        self._connection.disconnect()


def _facts(wire: Wire, section: str) -> dict[str, str]:
    info = wire.command("INFO", section)
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


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
        self._node: ServerAddress | None = None
        self._pid = os.getpid()

    def open(self) -> Wire:
        """A new wire: to the node that a cluster has named, if it has, else to the configured server."""
        node = self._node
        if node is not None:
            try:
                return self._connect(node)
            except BrokerError as error:
                self._node = None  # the configured node knows who has taken its place
                if not isinstance(error, BrokerUnavailable):  # nobody has: it does not let us in
                    raise
        return self._connect(self._locate())

    def _connect(self, address: ServerAddress) -> Wire:
        where = name_of(address)
        by_sentinels = bool(address.service)
        if by_sentinels:
            address = primary_of(address, self._options())
            where = f"{where[:-1]}: {name_of(address)})"
        connection = connection_to(address, self._options())
        wire = Wire(connection, where, self._command_timeout, lambda error: self._note(error, address))
        try:
            connection.connect()
            if not self._checked:
                self._check_version(wire, where)
            if by_sentinels:
                self._check_role(wire, where)
        except Exception as error:
            wire.close()
            ours = translate_opening(error, address, where)
            if ours is error:
                raise
            raise ours from error
        return wire

    def _options(self) -> dict[str, Any]:
        return {
            "socket_timeout": self._command_timeout,
            "socket_connect_timeout": self._connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "health_check_interval": 0,
            "client_name": "orchestrator",
            "driver_info": None,  # two commands less for each connection, which an ACL would have to allow
        }

    def _check_version(self, wire: Wire, where: str) -> None:
        version = _facts(wire, "server").get("redis_version", "0")
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
            raise UnsupportedServer(f"{where} is Redis {version}; Redis 7.0 or Valkey 7.2 or newer is needed.")
        self._checked = True

    @staticmethod
    def _check_role(wire: Wire, where: str) -> None:
        if _facts(wire, "replication").get("role") != "master":  # a sentinel may not have heard of it yet
            raise BrokerUnavailable(f"{where} is a replica now. Nothing was sent; try again.")

    def _note(self, error: Exception, address: ServerAddress) -> None:
        """Learn from a cluster's node which node keeps the namespace; all keys of one are in one slot."""
        if isinstance(error, server_says.MovedError):
            host = address.host if error.host in ("", "?") else error.host  # a node may know no name of its own
            self._node = replace(address, host=host, port=error.port, path=None)
        elif isinstance(error, server_says.ClusterDownError):
            self._node = None  # it may have left the cluster

    @contextmanager
    def _sharing(self, wire: Wire) -> Iterator[Wire]:
        """For the length of the block the caller's; afterwards free for others, if it is still good."""
        try:
            yield wire
        finally:
            if wire.used:
                with self._lock:
                    too_many = len(self._free) >= MOST_IDLE
                    if not too_many:
                        self._free.append(wire)
                if too_many:
                    wire.close()

    def _take(self) -> Wire:
        if self._pid != os.getpid():  # forked: the parent owns those sockets
            self._free, self._lock, self._pid = [], threading.Lock(), os.getpid()
        with self._lock:
            if self._free:
                return self._free.pop()
        return self.open()

    def run(self, *calls: ScriptCall, prefix: str) -> list[Any]:
        """Run scripts on a shared wire."""
        return self._on_shared(lambda wire: wire.run(*calls, prefix=prefix))

    def commands(self, batch: Sequence[Sequence[Any]]) -> list[Any]:
        """Plain commands on a shared wire; they must be safe to repeat."""
        return self._on_shared(lambda wire: wire.commands(batch))

    def _on_shared(self, send: Callable[[Wire], list[Any]]) -> list[Any]:
        deadline = time.monotonic() + max(0.0, self._command_timeout - self._connect_timeout)  # for one more try
        with self._sharing(self._take()) as wire:
            stale = wire.used
            try:
                return send(wire)
            except SlotElsewhere:
                wire.close()
            except BrokerUnavailable as error:
                wire.close()
                # A wire that was idle may have been cut meanwhile: one fresh try then.
                if not stale or isinstance(error.__cause__, server_says.TimeoutError):
                    raise
        self._drop_free()
        return self._on_fresh(send, deadline)

    def _on_fresh(self, send: Callable[[Wire], list[Any]], deadline: float) -> list[Any]:
        """Send on a new wire, and follow the namespace to wherever its cluster has moved it or is moving it."""
        while True:
            with self._sharing(self.open()) as wire:
                try:
                    return send(wire)
                except BrokerUnavailable as error:
                    wire.close()
                    if not isinstance(error, SlotElsewhere) or time.monotonic() > deadline:
                        raise
            time.sleep(FOLLOW_PAUSE_SECONDS)

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
