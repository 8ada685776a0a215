"""The worker's little HTTP server: whom it answers, and what half requests cost it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from task_workers.health import probe_server as module
from task_workers.health.probe_server import ProbeServer, json_answer
from tests.support.waiting import wait_until

LIVE = b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
Opened = Callable[[str], ProbeServer]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Open one on an address."""
    with ExitStack() as stack:

        def open_at(host: str) -> ProbeServer:
            made = ProbeServer(host, 0, {"/live": lambda accept: json_answer(True, {"live": True})})
            made.open()
            stack.callback(made.close)
            return made

        yield open_at


def connected(probe_server: ProbeServer) -> socket.socket:
    port = urlsplit(probe_server.url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"Host: localhost:9100", 200),
        (b"Host: LOCALHOST", 200),
        (b"Host: 127.0.0.1:9100", 200),
        (b"Host: [::1]:9100", 200),
        (b"Host: evil.example", 403),
        (b"Host: evil.example:9100", 403),
        (b"Host: localhost.evil.example", 403),
        (b"Host: [", 403),
        (b"Host: \xff\xfe", 403),
        (b"Host:", 403),
        (b"X-Host: localhost", 403),
        (b"Host: localhost\r\nHost: evil.example", 403),
    ],
)
def test_on_this_machine_it_answers_under_its_names_only(opened: Opened, host: bytes, status: int) -> None:
    with connected(opened("127.0.0.1")) as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n")
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.0 %d " % status), answer
    assert (b'"live"' in answer) is (status == 200)


def test_elsewhere_it_answers_under_any_name(opened: Opened) -> None:
    with connected(opened("0.0.0.0")) as connection:
        connection.sendall(LIVE.replace(b"localhost", b"worker-1.shop.svc"))
        assert said(connection).startswith(b"HTTP/1.0 200 ")


def test_half_a_request_that_trickles_is_hung_up_on(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.2)
    with connected(opened("127.0.0.1")) as connection:
        connection.sendall(LIVE[:20])

        def hung_up() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return False

        wait_until(hung_up, 20, "it is hung up on")


def test_whole_requests_are_answered_while_others_fill_every_place_with_halves(opened: Opened) -> None:
    probe_server = opened("127.0.0.1")
    with ExitStack() as stack:
        for _ in range(module.MAX_CONNECTIONS + 20):
            stack.enter_context(connected(probe_server)).sendall(LIVE[:20])
        with connected(probe_server) as connection:
            connection.sendall(LIVE)
            assert b'"live": true' in said(connection)
