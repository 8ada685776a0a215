"""A tiny HTTP server for probes and scrapers: some paths, each a function; GET only, nothing is read from a body."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from orchestrator.errors import ConfigurationError

log = logging.getLogger("orchestrator.worker")
IDLE_SECONDS: Final = 5.0  # who connects and says nothing is hung up on
REQUEST_SECONDS: Final = 10.0  # for a whole request and its answer, however they trickle
MAX_CONNECTIONS: Final = 64  # where they are taken, the one that has taken longest makes room
HOSTS_OF_THIS_MACHINE: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class Answer(NamedTuple):
    """What is sent for a request."""

    status: int
    content_type: str
    body: bytes


Page = Callable[[str], Answer]
"""What a path shows; gets the request's ``Accept`` header."""


def json_answer(well: bool, facts: Mapping[str, Any]) -> Answer:
    """200 if it is well, else 503."""
    return Answer(200 if well else 503, "application/json", json.dumps(facts).encode() + b"\n")


class ProbeServer:
    """Listens on one port, in threads of its own.

    On a loopback address it answers under the names of this machine only: a web page that had its own name point here
    ("DNS rebinding") is refused. Whoever lets it listen elsewhere lets whoever reaches it read.

    Args:
        host: the address.
        port: 0 for a free one.
        pages: by path.

    Raises:
        ConfigurationError: the port cannot be had, or the address is empty, which the system takes for all of them.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        if not host:
            raise ConfigurationError("--listen is empty: give an address, such as 127.0.0.1; 0.0.0.0 is all of them")
        self._pages = pages
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            server = type("Server", (_Server,), {"address_family": family})
            self._server = server((host, port), _handler(pages, _is_loopback(host)))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="probe_server", daemon=True)

    @property
    def paths(self) -> list[str]:
        """What there is to be asked for."""
        return sorted(self._pages)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def open(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: dict[Any, float] = {}  # connection -> when it came, the oldest first
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for it, while there is room."""
        with self._lock:
            self._open[request] = time.monotonic()
            late = [next(iter(self._open))] if len(self._open) > MAX_CONNECTIONS else []
        self._hang_up(late)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is over."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: hang up on those that take too long."""
        latest = time.monotonic() - REQUEST_SECONDS
        with self._lock:
            late = [request for request, came in self._open.items() if came < latest]
        self._hang_up(late)

    def _hang_up(self, late: list[Any]) -> None:
        for request in late:
            with self._lock:
                self._open.pop(request, None)
            with suppress(OSError):  # its thread sees the end, and closes it
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hung up is not worth a traceback."""
        log.debug("a request was not answered", exc_info=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names_this_machine(header: str) -> bool:
    """Whether a ``Host`` header has a name of this machine.

    >>> _names_this_machine("localhost:9100"), _names_this_machine("[::1]:9100"), _names_this_machine("evil.example")
    (True, True, False)
    """
    try:
        return urlsplit(f"//{header}").hostname in HOSTS_OF_THIS_MACHINE
    except ValueError:
        return False


def _handler(pages: Mapping[str, Page], this_machine_only: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_SECONDS
        server_version, sys_version = "orchestrator", ""

        def do_GET(self) -> None:
            answer = self._answer()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_HEAD = do_GET

        def _answer(self) -> Answer:
            hosts = self.headers.get_all("Host", [])
            if this_machine_only and not (hosts and all(map(_names_this_machine, hosts))):
                return Answer(403, "text/plain", b"this port answers under the names of its own machine only\n")
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                return Answer(404, "text/plain", f"here are: {', '.join(sorted(pages))}\n".encode())
            try:
                return page(self.headers.get("Accept", ""))
            except Exception:
                log.exception("%s could not be shown", self.path)
                return Answer(500, "text/plain", b"it could not be shown; the log says why\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Probes come every few seconds: nobody wants to read of each."""

    return Handler
