"""The time by which a conversation over a socket has ended, however slowly the other side talks.

A timeout of a socket counts from each byte that came: a server that sends one every few seconds holds its caller for
ever.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

_AGAIN_SECONDS: Final = 0.1


class CutOff:
    """What ends a conversation: the moment, and whether it has come."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.happened = False
        self._moment = time.monotonic() + seconds
        self._over = threading.Event()

    @property
    def remaining(self) -> float:
        """Seconds that are left; a hundredth at least, as 0 means "no blocking" to a socket."""
        return max(self._moment - time.monotonic(), 0.01)

    def close(self) -> None:
        """The conversation is over; nothing is cut any more."""
        self._over.set()

    def watch(self, current: Callable[[], socket.socket | None]) -> None:
        """Shut down the current socket when the moment has come; again while the conversation goes on with another."""
        while not self._over.wait(_AGAIN_SECONDS if self.happened else self.remaining):
            self.happened = True
            with contextlib.suppress(OSError):  # it is closed, or was wrapped by TLS and has a successor
                if (found := current()) is not None:
                    socket.socket.shutdown(found, socket.SHUT_RDWR)  # TLS's own confuses its reader


@contextlib.contextmanager
def cut_off(seconds: float, current: Callable[[], socket.socket | None]) -> Iterator[CutOff]:
    """Within this block reads and writes on the socket fail from ``seconds`` after its begin on.

    Args:
        current: gives the socket that is talked over, or ``None`` while there is none.
    """
    cut = CutOff(seconds)
    thread = threading.Thread(target=cut.watch, args=(current,), name="orchestrator-cut-off", daemon=True)
    thread.start()
    try:
        yield cut
    finally:
        cut.close()
