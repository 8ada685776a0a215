"""The connections of a process to one server: shared ones, call by call, and others for one user each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias

import redis.exceptions as server_says
from redis.backoff import NoBackoff
from redis.retry import Retry

from brokers.deadline import within
from brokers.errors import BrokerError, BrokerUnavailable, UnsupportedServer
from brokers.urls import ServerAddress

from .connect import connection_to, greeting, name_of, primary_of
from .translation import SlotElsewhere, after_lost_reply, translate_opening
from .wire import ScriptCall, Wire

MINIMUM_VERSION: Final = (7, 0)
FOLLOW_PAUSE_SECONDS: Final = 0.05
FOR_THE_CALLER_SECONDS: Final = 0.1  # for the caller to wake at the deadline: a call fails within two seconds
MAX_IDLE: Final = 3  # shared wires that are kept open, however many threads once needed one at the same moment
Given = ParamSpec("Given")
Send: TypeAlias = Callable[Concatenate[Wire, Given], list[Any]]
"""A method of a wire."""


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

    Attributes:
        seconds: how long a verb may take from the caller's start, connecting and all waiting for others included.
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
        self.seconds = command_timeout_seconds + max(0.0, connect_timeout_seconds - FOR_THE_CALLER_SECONDS)
        self._free: list[Wire] = []
        self._checked = False
        self._node: ServerAddress | None = None
        self._pid = os.getpid()

    def open(self) -> Wire:
        """A new wire for one user, for as long as it likes."""
        wire = self._open(within(self.seconds))
        wire.until = None
        return wire

    def _open(self, until: float) -> Wire:
        """A new wire: to the node that a cluster has named, if it has, else to the configured server."""
        node = self._node
        if node is not None:
            try:
                return self._connect(node, until)
            except BrokerError as error:
                self._node = None  # the configured node knows who has taken its place
                if not isinstance(error, BrokerUnavailable):  # nobody has: it does not let us in
                    raise
        begun = time.monotonic()
        address = self._locate()
        return self._connect(address, until + time.monotonic() - begun)  # a private server may have been started

    def _connect(self, address: ServerAddress, until: float) -> Wire:
        where = name_of(address)
        by_sentinels = bool(address.service)
        if by_sentinels:
            address = primary_of(address, self._options(address, until), until)
            where = f"{where[:-1]}: {name_of(address)})"
        connection = connection_to(address, self._options(address, until))
        wire = Wire(connection, where, self._command_timeout, lambda error: self._note(error, address))
        wire.until = until
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

    def _options(self, address: ServerAddress, until: float) -> dict[str, Any]:
        left = max(0.01, until - time.monotonic())
        return {
            "socket_timeout": min(self._command_timeout, left),
            "socket_connect_timeout": min(self._connect_timeout, left),
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "health_check_interval": 0,
            "redis_connect_func": greeting(address, until, "orchestrator"),
        }

    def _check_version(self, wire: Wire, where: str) -> None:
        version = _facts(wire, "server").get("redis_version", "0")
        if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_VERSION:
            raise UnsupportedServer(f"{where} is Redis {version}; Redis 7.0 or Valkey 7.2 or newer is needed.")
        self._checked = True

    @staticmethod
    def _check_role(wire: Wire, where: str) -> None:
        if _facts(wire, "replication").get("role") != "master":  # a sentinel may not know of it yet
            raise BrokerUnavailable(f"{where} is a replica now. Nothing was sent; try again.")

    def _note(self, error: Exception, address: ServerAddress) -> None:
        """Learn from a cluster's node which node keeps the namespace; all keys of one are in one slot."""
        if isinstance(error, server_says.MovedError):
            host = address.host if error.host in ("", "?") else error.host  # a node may know no name of its own
            self._node = replace(address, host=host, port=error.port, path=None)
        elif isinstance(error, server_says.ClusterDownError):
            self._node = None  # it may have left the cluster

    def _give_back(self, wire: Wire) -> None:
        """Free for others, if it is still good."""
        if wire.used:
            if len(self._free) < MAX_IDLE:
                self._free.append(wire)
            else:
                wire.close()

    def run(self, *calls: ScriptCall, prefix: str) -> list[Any]:
        """Run scripts on a shared wire."""
        return self._on_shared(Wire.run, *calls, prefix=prefix)

    def run_beside(self, aside: ScriptCall, call: ScriptCall, *, prefix: str) -> list[Any]:
        """Run two scripts on a shared wire, of which the first may fail: see :meth:`Wire.run_beside`."""
        return self._on_shared(Wire.run_beside, aside, call, prefix=prefix)

    def commands(self, batch: Sequence[Sequence[Any]]) -> list[Any]:
        """Plain commands on a shared wire; they must be safe to repeat."""
        return self._on_shared(Wire.commands, batch)

    def _on_shared(self, send: Send[Given], *args: Given.args, **kwargs: Given.kwargs) -> list[Any]:
        until = within(self.seconds)
        if self._pid != os.getpid():  # forked: the parent owns those sockets
            self._free, self._pid = [], os.getpid()
        try:  # threads need no lock for single operations of a list
            wire = self._free.pop()
            wire.until = until
        except IndexError:
            wire = self._open(until)
        stale = wire.used
        try:
            return send(wire, *args, **kwargs)
        except SlotElsewhere:
            wire.close()
            lost = False
        except BrokerUnavailable as error:
            wire.close()
            # A wire that was idle may have been cut meanwhile: one fresh try then.
            if not stale or isinstance(error.__cause__, server_says.TimeoutError):
                raise
            lost = error.reply_lost
        finally:
            self._give_back(wire)
        self._drop_free()
        try:
            return self._on_fresh(until, send, *args, **kwargs)
        except BrokerError as error:
            if lost:  # nothing was done this time, but perhaps the first time
                raise after_lost_reply(error) from error
            raise

    def _on_fresh(self, until: float, send: Send[Given], *args: Given.args, **kwargs: Given.kwargs) -> list[Any]:
        """Send on a new wire, and follow the namespace to wherever its cluster has moved it or is moving it."""
        while True:
            wire = self._open(until)
            try:
                return send(wire, *args, **kwargs)
            except BrokerUnavailable as error:
                wire.close()
                if not isinstance(error, SlotElsewhere) or time.monotonic() > until - self._connect_timeout:
                    raise
            finally:
                self._give_back(wire)
            time.sleep(FOLLOW_PAUSE_SECONDS)

    @property
    def used(self) -> bool:
        """Whether a server has been reached at least once."""
        return self._checked

    def _drop_free(self) -> None:
        with suppress(IndexError):
            while True:
                self._free.pop().close()

    def close(self) -> None:
        """Close the shared wires. They open again when they are needed."""
        self._drop_free()
