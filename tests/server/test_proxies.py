"""Whose word the server takes for where a request comes from: that of proxies that were named, and nobody else's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click
import httpx
import pytest
import uvicorn
from click.testing import CliRunner
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from task_workers.cli.server import command
from task_workers.server import configured
from tests.support.waiting import wait_until


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Says from where a request comes."""
    if scope["type"] == "http":
        await JSONResponse([Request(scope).client, scope["scheme"]])(scope, receive, send)


@contextmanager
def served(*proxies: str) -> Iterator[str]:
    server = uvicorn.Server(configured(who, "warning", proxies))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20, "the server's start")
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


@pytest.mark.parametrize(
    ("proxies", "address", "scheme"),
    [((), "127.0.0.1", "http"), (("10.0.0.8",), "127.0.0.1", "http"), (("127.0.0.0/8",), "203.0.113.9", "https")],
)
def test_only_a_named_proxy_says_where_a_request_comes_from(
    monkeypatch: pytest.MonkeyPatch, proxies: tuple[str, ...], address: str, scheme: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own, which is not asked
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    with served(*proxies) as url:
        client, found = httpx.get(url, headers=headers, timeout=30).json()
    assert (client[0], found) == (address, scheme)


@pytest.mark.parametrize("text", ["*", "proxy.example", "10.0.0.0/99", ""])
def test_what_is_no_address_is_no_proxy(text: str) -> None:
    assert isinstance(command, click.Group)
    answer = CliRunner().invoke(command, ["start", "--proxy", text])
    assert answer.exit_code == 2
    assert "is no IP address" in answer.output
