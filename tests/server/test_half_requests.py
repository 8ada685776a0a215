"""Who sends half a request, byte by byte or not at all, keeps nobody else from the dashboard."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
import uvicorn

from orchestrator.client.fleet import Fleet
from orchestrator.server import guard, make_app
from task_workers import connections
from task_workers.server import configured
from tests.support.waiting import wait_until

HALVES = {
    "nothing": b"",
    "half a head": b"GET /api/ready HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "half a body": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nsecret=",
    "half a body that nobody reads": b"GET /api/ready HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nx",
}


@pytest.fixture
def address(own_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A dashboard that has little time and little room."""
    monkeypatch.setattr(connections, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "BODY_SECONDS", 1.0)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.5)
    server = uvicorn.Server(configured(make_app(own_fleet), "warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20, "the server's start")
    yield listener.getsockname()[:2]
    server.should_exit = True
    thread.join(20)
    listener.close()


def hung_up(connection: socket.socket) -> bool:
    """Whether the other side has closed, after whatever it has said."""
    try:
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("half", HALVES)
def test_half_a_request_is_hung_up_on(address: tuple[str, int], half: str) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(0.1)
        connection.sendall(HALVES[half])
        wait_until(lambda: hung_up(connection), 20, f"{half} is hung up on")


@pytest.mark.parametrize("half", ["half a head", "half a body", "half a body that nobody reads"])
def test_bytes_that_trickle_do_not_buy_time(address: tuple[str, int], half: str) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(0.02)
        connection.sendall(HALVES[half])

        def trickled() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return hung_up(connection)

        wait_until(trickled, 20, f"{half} is hung up on")


@pytest.mark.parametrize("half", HALVES)
def test_whole_requests_are_answered_while_others_fill_every_place_with_halves(
    address: tuple[str, int], half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 600.0)
    monkeypatch.setattr(connections, "BODY_SECONDS", 600.0)
    monkeypatch.setattr(guard, "BODY_SECONDS", 600.0)
    with ExitStack() as stack:
        for _ in range(30):
            slow = stack.enter_context(socket.create_connection(address))
            slow.sendall(HALVES[half])
        for _ in range(3):
            assert httpx.get(f"http://{address[0]}:{address[1]}/api/ready", timeout=20).json() == {"ready": True}


def test_a_body_that_does_not_come_is_refused_in_words(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(20)
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nsecret=")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


def test_requests_one_after_another_on_a_connection_are_all_answered(address: tuple[str, int]) -> None:
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=20) as client:
        for _ in range(5):
            assert client.get("/api/ready").status_code == 200
