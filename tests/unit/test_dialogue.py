"""A reply has one deadline, however many pieces it comes in."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis.exceptions as server_says

from brokers.redis.transport.protocol import Dialogue


class Connection:
    """What a dialogue uses of redis-py's."""

    def __init__(self, end: socket.socket) -> None:
        self._sock = end
        self._parser = self

    def parse_error(self, text: str) -> Exception:
        return server_says.ResponseError(text)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_server_that_trickles_bytes_gets_no_new_time_for_each(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    over = threading.Event()

    def trickle() -> None:
        theirs.sendall(b"+")
        while not over.wait(0.01):
            theirs.sendall(b"a")

    thread = threading.Thread(target=trickle)
    thread.start()
    connection: Any = Connection(ours)
    dialogue = Dialogue(connection)
    try:
        with pytest.raises(server_says.TimeoutError):
            dialogue.exchange([("PING",)], time.monotonic() + 0.3)
        assert dialogue.sent
    finally:
        over.set()
        thread.join()


def test_nothing_is_sent_when_the_time_is_over(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connection: Any = Connection(ours)
    dialogue = Dialogue(connection)
    with pytest.raises(server_says.TimeoutError):
        dialogue.exchange([("PING",)], time.monotonic() - 1)
    assert not dialogue.sent
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
