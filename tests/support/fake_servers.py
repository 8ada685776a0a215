"""Things that listen on a port and are no server that we can use."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class FakeServer:
    """Answers every piece it reads on a port of localhost with what ``answer(piece)`` gives; ``None`` for silence."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                answer = self._answer(piece)
                if answer is not None:
                    connection.sendall(answer)

    def close(self) -> None:
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def old_redis(piece: bytes) -> bytes:
    """Redis 6.2, as far as a client looks at it before its first command."""
    if b"INFO" in piece:
        info = b"# Server\r\nredis_version:6.2.14\r\n"
        return b"$%d\r\n%s\r\n" % (len(info), info)
    return b"+OK\r\n" * max(1, piece.count(b"*"))


def web_server(piece: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html></html>\r\n"


def silence(piece: bytes) -> None:
    return None
