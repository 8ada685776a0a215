"""A connection to an endpoint that was judged before, within a time that is fixed before."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Protocol

from orchestrator.errors import NotificationError
from orchestrator.notifications.addresses import Endpoint, endpoints
from orchestrator.notifications.urls import Target


class Clock(Protocol):
    """What says how many seconds are left."""

    @property
    def remaining(self) -> float: ...


class GuardedConnection(http.client.HTTPConnection):
    """HTTP to one target. ``line`` is its socket, kept until it is closed: ``http.client`` forgets its own earlier.

    Args:
        connect_seconds: how long name resolution, and each attempt to connect, may take; TLS's greeting, too.
        read_seconds: how long each read or write may take.
        verify: whether the certificate of the target must be valid and its own.
    """

    def __init__(
        self, target: Target, *, allow_private: bool, connect_seconds: float, read_seconds: float, verify: bool = True
    ) -> None:
        super().__init__(target.host, target.port)
        if target.secure:
            self.default_port = 443  # names the host without its port where it is the usual one
        self.line: socket.socket | None = None
        self.clock: Clock | None = None
        self._target = target
        self._allow_private = allow_private
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._verify = verify

    def connect(self) -> None:
        """Resolve, judge, connect to what was judged, and greet."""
        target, seconds = self._target, self._seconds(self._connect_seconds)
        found = endpoints(target.host, target.port, seconds, allow_private=self._allow_private)
        self.line = self._connected(found)
        if target.secure:
            self.line.settimeout(self._seconds(self._connect_seconds))
            self.line = _context(self._verify).wrap_socket(self.line, server_hostname=target.host)
        self.line.settimeout(self._read_seconds)
        self.sock = self.line

    def close(self) -> None:
        """Close everything, also where ``http.client`` has left the socket to its answer."""
        super().close()
        if self.line is not None:
            self.line.close()

    def _seconds(self, most: float) -> float:
        return most if self.clock is None else min(most, self.clock.remaining)

    def _connected(self, found: list[Endpoint]) -> socket.socket:
        """A socket to the first endpoint that takes a connection."""
        error: OSError | None = None
        for endpoint in found:
            sock = socket.socket(endpoint.family, endpoint.kind, endpoint.protocol)
            sock.settimeout(self._seconds(self._connect_seconds))
            try:
                sock.connect(endpoint.sockaddr)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as failed:
                sock.close()
                error = failed
            else:
                return sock
        raise error or NotificationError(f"{self._target.shown} has no address")


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
