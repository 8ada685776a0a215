"""Commands out, replies in, on the socket of an open connection.

redis-py's own reading and packing cost about 40 microseconds a command, more than the server needs for it; the parts
that do the work are hiredis's, and are used directly here. redis-py still opens the connection: TLS, passwords, names.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final

import hiredis
import redis.exceptions as server_says

from .connect import Connection

READ_BYTES: Final = 65536
_NOTHING: Final = object()


class Dialogue:
    """For one thread at a time.

    Args:
        connection: open; nobody else may read from it.
    """

    __slots__ = ("_reader", "_seconds", "_socket")

    def __init__(self, connection: Connection) -> None:
        self._socket: socket.socket = connection._sock  # type: ignore[attr-defined]
        self._reader = hiredis.Reader(
            protocolError=server_says.InvalidResponse,
            replyError=connection._parser.parse_error,  # type: ignore[attr-defined]
            notEnoughData=_NOTHING,
        )
        self._seconds = -1.0

    def send(self, batch: Sequence[Sequence[Any]], seconds: float) -> None:
        """Write commands, all in one; each read and write may take so long from now on."""
        if seconds != self._seconds:
            self._socket.settimeout(seconds)
            self._seconds = seconds
        try:
            self._socket.sendall(b"".join([hiredis.pack_command(tuple(command)) for command in batch]))
        except TimeoutError as error:
            raise _too_late(error) from error

    def read(self) -> Any:
        """The next reply; an error that the server tells is returned, not raised.

        Raises:
            redis.exceptions.TimeoutError, redis.exceptions.ConnectionError, redis.exceptions.InvalidResponse, OSError
        """
        reply = self._reader.gets(False)
        while reply is _NOTHING:
            try:
                data = self._socket.recv(READ_BYTES)
            except TimeoutError as error:
                raise _too_late(error) from error
            if not data:
                raise server_says.ConnectionError("Connection closed by server.")
            self._reader.feed(data)
            reply = self._reader.gets(False)
        if isinstance(reply, server_says.ConnectionError):  # such as LOADING: the server says that it is not there yet
            raise reply
        return reply


def _too_late(error: TimeoutError) -> Exception:
    """As redis-py would say it. A timeout of the task that reads is somebody else's, and stays what it is."""
    if type(error) is TimeoutError:
        return server_says.TimeoutError("no reply in time")
    return error
