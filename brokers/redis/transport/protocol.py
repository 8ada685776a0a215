"""Commands out, replies in, on the socket of an open connection.

redis-py's own reading and packing cost about 40 microseconds a command, more than the server needs for it; the parts
that do the work are hiredis's, and are used directly here. redis-py still opens the connection: TLS, passwords, names.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

import hiredis
import redis.exceptions as server_says

READ_BYTES: Final = 65536
SLACK_SECONDS: Final = 0.04
_NOTHING: Final = object()


class Connection(Protocol):
    """What we use of redis-py's connection objects (which are not annotated)."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...


class Dialogue:
    """For one thread at a time.

    Args:
        connection: open; nobody else may read from it.

    Attributes:
        sent: whether a command of the last exchange may have reached the server.
    """

    __slots__ = ("_early", "_reader", "_seconds", "_socket", "sent")

    def __init__(self, connection: Connection) -> None:
        self._socket: socket.socket = connection._sock  # type: ignore[attr-defined]
        self._reader = hiredis.Reader(
            protocolError=server_says.InvalidResponse,
            replyError=connection._parser.parse_error,  # type: ignore[attr-defined]
            notEnoughData=_NOTHING,
        )
        self._seconds = -1.0
        self._early: Any = _NOTHING
        self.sent = False

    def exchange(self, batch: Sequence[Sequence[Any]], until: float, awaited: int | None = None) -> list[Any]:
        """Write commands, all in one, and read their replies, all before this moment (``time.monotonic()``).

        Args:
            batch: the commands.
            until: the moment.
            awaited: how many of the replies are read, from the first; the others are for :meth:`read`.

        Returns:
            The replies. An error reply is among them, not raised.

        Raises:
            redis.exceptions.TimeoutError, redis.exceptions.ConnectionError, redis.exceptions.InvalidResponse, OSError
        """
        self.sent = False
        left = until - time.monotonic()
        if not left - SLACK_SECONDS < self._seconds <= left:
            self._allow(left)
        if len(batch) == 1:
            packed = hiredis.pack_command(tuple(batch[0]))
        else:
            packed = b"".join(map(hiredis.pack_command, map(tuple, batch)))
        try:
            self.sent = len(batch) > 1  # the first of several may arrive although the last does not
            self._socket.sendall(packed)
            self.sent = True
        except TimeoutError as error:
            raise _too_late(error) from error
        if awaited is None:
            return self.read(len(batch), until)
        replies = self.read(awaited, until)
        self._early = self._reader.gets(False)
        return replies

    @property
    def has_more(self) -> bool:
        """Whether a reply that was not awaited has come along with those that were."""
        return self._early is not _NOTHING

    def read(self, count: int, until: float) -> list[Any]:
        """Read so many replies, as :meth:`exchange` does."""
        replies: list[Any] = []
        early, self._early = self._early, _NOTHING
        if early is not _NOTHING:
            replies.append(early)
        try:
            while len(replies) < count:
                reply = self._reader.gets(False)
                if reply is _NOTHING:
                    left = until - time.monotonic()
                    if not left - SLACK_SECONDS < self._seconds <= left:
                        self._allow(left)
                    data = self._socket.recv(READ_BYTES)
                    if not data:
                        raise server_says.ConnectionError("Connection closed by server.")
                    self._reader.feed(data)
                elif isinstance(reply, server_says.ConnectionError):  # such as LOADING: the server is not there yet
                    raise reply
                else:
                    replies.append(reply)
        except TimeoutError as error:
            raise _too_late(error) from error
        return replies

    def _allow(self, left: float) -> None:
        """The next step may take what is left of the time. A server that trickles bytes gets no new time for each.

        Called only where the socket's own time is not nearly the same: a system call is saved.
        """
        if left <= 0:
            raise server_says.TimeoutError("no reply in time")
        self._seconds = max(left - SLACK_SECONDS / 2, left / 2)
        self._socket.settimeout(self._seconds)


def _too_late(error: TimeoutError) -> Exception:
    """As redis-py would say it. A timeout of the task that reads is somebody else's, and stays what it is."""
    if type(error) is TimeoutError:
        return server_says.TimeoutError("no reply in time")
    return error
