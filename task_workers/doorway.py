"""A tiny HTTP server for probes and scrapers: some paths, each a function; GET only, nothing is read from a body."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from orchestrator.errors import ConfigurationError

log = logging.getLogger("orchestrator.worker")
IDLE_SECONDS: Final = 5.0  # who connects and says nothing is hung up on


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


class Doorway:
    """Listens on one port, in threads of its own.

    Args:
        host: the address.
        port: 0 for a free one.
        pages: by path.

    Raises:
        ConfigurationError: the port cannot be had.
    """

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._server = type("Server", (_Server,), {"address_family": family})((host, port), _handler(pages))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="doorway", daemon=True)

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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hung up is not worth a traceback."""
        log.debug("a request was not answered", exc_info=True)


def _handler(pages: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
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
