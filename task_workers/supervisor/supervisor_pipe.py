"""A child's way to and from its supervisor: orders come in, messages go out."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from typing import Final

from task_workers.supervisor.messages import (
    ChildMessage,
    ChildSpec,
    Order,
    UnreadableMessage,
    decode_order,
    decode_spec,
    encode,
)

log = logging.getLogger("orchestrator.worker")
ORPHANED: Final = 70  # exit code of a child whose supervisor has gone


class Terminate:
    """SIGTERM has come: the child is to end, and wants a successor."""


class SupervisorPipe:
    """Both ways. The first line that comes in is the child's :class:`ChildSpec`, orders follow."""

    def __init__(self) -> None:
        # User code must neither read the orders nor pass them on to the programs it starts.
        self._orders = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._rest = b""
        self._events: int | None = None
        self._files: dict[int, tuple[int, int] | None] = {}
        self._lock = threading.Lock()

    def read_spec(self) -> ChildSpec:
        """The first line. Raises UnreadableMessage when it is none."""
        while b"\n" not in self._rest:
            self._read()
        line, _, self._rest = self._rest.partition(b"\n")
        spec = decode_spec(line)
        os.set_inheritable(spec.events_fd, False)
        os.set_inheritable(spec.table_fd, False)
        self._events = spec.events_fd
        self._files = {fd: _file_behind(fd) for fd in (self._orders, spec.events_fd)}
        return spec

    def is_cut_off(self) -> bool:
        """Whether somebody in this process has closed our descriptors; others may have got their numbers since."""
        return any(_file_behind(fd) != file for fd, file in self._files.items())

    def _read(self) -> None:
        more = os.read(self._orders, 65536)
        if not more:
            os._exit(ORPHANED)
        self._rest += more

    def next_orders(self, wake_fd: int) -> list[Order | Terminate]:
        """Block until there are orders, or a SIGTERM, which arrives at ``wake_fd``."""
        waiting = b"\n" in self._rest  # they came together with the first line
        readable, _, _ = select.select([self._orders, wake_fd], [], [], 0 if waiting else None)
        orders: list[Order | Terminate] = []
        if wake_fd in readable and signal.SIGTERM in os.read(wake_fd, 4096):
            orders.append(Terminate())
        if self._orders in readable:
            self._read()
        if b"\n" in self._rest:
            *lines, self._rest = self._rest.split(b"\n")
            orders += [order for line in lines if (order := _order(line)) is not None]
        return orders

    def send(self, message: ChildMessage) -> None:
        """Report; a supervisor that is gone is noticed elsewhere."""
        blob = encode(message)
        try:
            with self._lock:
                while blob:
                    assert self._events is not None
                    blob = blob[os.write(self._events, blob) :]
        except OSError:
            pass


def _order(line: bytes) -> Order | None:
    try:
        return decode_order(line)
    except UnreadableMessage as error:
        log.warning("an order cannot be read and is skipped: %s", error)
        return None


def _file_behind(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
