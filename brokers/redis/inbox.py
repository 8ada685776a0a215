"""The inbox of a process: one stream, one thread, one connection for any number of handles.

1. It reads what others send: ends of runs that someone here waits for, orders (cancel, stop).
2. It keeps the inbox alive; an inbox without a process disappears after two minutes.
3. When the connection or the inbox was lost, messages may be lost with it: it says so, and whoever waits asks again.

A read is repeated from the last message seen, so a lost reply loses nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from brokers.contract import Settled
from brokers.errors import BrokerError

from .broker import INBOX_TTL_MS, RedisBroker, unpack
from .wire import Wire

log = logging.getLogger("orchestrator.inbox")
BLOCK_SECONDS: Final = 2.0  # a connection that died without a word is noticed so much later, and a command's timeout
LONGEST_PAUSE_SECONDS: Final = 1.0


class Inbox:
    """Reads the inbox ``name`` in a daemon thread.

    Args:
        broker: where the inbox is.
        name: the process (or consumer) it belongs to.
        on_settled: gets (run id, status, outcome) of runs that ended; an empty outcome means: read the record.
        on_orders: gets (what, run id).
        on_gap: called after a connection or the inbox was lost, and found again.
    """

    def __init__(
        self,
        broker: RedisBroker,
        name: str,
        *,
        on_settled: Callable[[list[Settled]], None],
        on_orders: Callable[[list[tuple[str, str]]], None] = lambda orders: None,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._broker = broker
        self._key = broker.keys.inbox(name)
        self._on_settled, self._on_orders, self._on_gap = on_settled, on_orders, on_gap
        self._last = b"0-0"
        self._wire: Wire | None = None
        self._stopping = threading.Event()
        self._gap = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"inbox-{name}", daemon=True)

    def start(self) -> None:
        """Make the inbox and begin to read. Raises BrokerError when the server is not there."""
        self._broker.expect([], self.name)
        self._thread.start()

    def ask_again(self) -> None:
        """Call ``on_gap`` as soon as the server answers: someone could not say what they wait for."""
        self._gap.set()

    def stop(self) -> None:
        """Stop reading and remove the inbox."""
        self._stopping.set()
        wire = self._wire
        if wire is not None:
            wire.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2)
        with suppress(BrokerError):  # it expires by itself
            self._broker.wires.commands([("DEL", self._key)])

    def _run(self) -> None:
        pause = 0.02
        while not self._stopping.is_set():
            try:
                if self._gap.is_set():
                    self._gap.clear()
                    self._broker.expect([], self.name)
                    self._on_gap()
                self._read_once()
                pause = 0.02
            except BrokerError as error:
                if self._stopping.is_set():
                    return
                log.debug("inbox lost its connection: %s", error)
                self._drop()
                self._gap.set()
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception:
                log.exception("a message in the inbox could not be handled; the others are")
                self._stopping.wait(pause)  # whatever it is, it may come again and again
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _read_once(self) -> None:
        if self._wire is None:
            self._wire = self._broker.wires.open()
            if self._stopping.is_set():
                self._drop()
                return
        _, kept, reply = self._wire.commands(
            [
                ("XTRIM", self._key, "MINID", self._last),
                ("PEXPIRE", self._key, INBOX_TTL_MS),
                ("XREAD", "COUNT", 1000, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", self._key, self._last),
            ],
            BLOCK_SECONDS,
        )
        if not kept:  # expired while this process slept, or the server was emptied
            self._last = b"0-0"
            self._broker.expect([], self.name)
            self._on_gap()
        settled: list[Settled] = []
        orders: list[tuple[str, str]] = []
        for _, entries in reply or ():
            for entry, fields in entries:
                self._last = entry
                self._open(fields, settled, orders)
        if settled:
            self._on_settled(settled)
        if orders:
            self._on_orders(orders)

    @staticmethod
    def _open(fields: list[Any], settled: list[Settled], orders: list[tuple[str, str]]) -> None:
        kind, blob = fields[0], fields[1]
        if kind == b"o":
            row = unpack(blob)
            settled += [(row[i].decode(), row[i + 1], row[i + 2]) for i in range(0, len(row), 3)]
        elif kind == b"c":
            row = unpack(blob)
            orders += [(row[i].decode(), row[i + 1].decode()) for i in range(0, len(row), 2)]
