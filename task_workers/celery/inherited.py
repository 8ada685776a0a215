"""What a child of the pool inherits of its worker's connection to the broker, and must not keep open.

The first children are forked before the worker connects; those that replace others, after it. Such a child has a copy
of the socket on which the worker waits for messages. If the worker is killed, the broker does not see that the
connection is gone until the last copy is closed, and a Redis hands it a message meanwhile (``BRPOP`` lasts a second),
which nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any


def close_inherited(connection: Any) -> None:
    """Close this process's copies of the sockets of a connection (kombu's); the worker's own stay open.

    Only the copies: to say good-bye would end the session of the worker, and kombu's way to disconnect would take the
    socket off the poll that is shared with it.
    """
    for socket in _sockets(connection):
        with suppress(OSError):
            socket.close()


def _sockets(connection: Any) -> Iterator[Any]:
    transport = getattr(connection, "_transport", None)  # the property would make one
    for channel in list(getattr(transport, "channels", None) or ()):  # of Redis and the like: each has its own
        for name in ("client", "subclient"):
            client = vars(channel).get(name)  # made when they are used first
            socket = getattr(getattr(client, "connection", None), "_sock", None)
            if socket is not None:
                yield socket
    socket = getattr(getattr(connection, "_connection", None), "sock", None)  # py-amqp's
    if socket is not None:
        yield socket
