"""The inbox of a process: one stream, one thread, one connection for any number of handles.

1. It reads what others send: ends of runs that someone here waits for, orders (cancel, stop).
2. It keeps the inbox alive; an inbox without a process disappears after two minutes.
3. When the connection or the inbox was lost, messages may be lost with it: waiters then ask the store again.

A read is repeated from the last message seen, so a lost reply loses nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from brokers.block_ends import BlockEnds
from brokers.errors import BrokerError
from brokers.messages import FINAL_STATUSES, RunEnd
from brokers.schema import InboxField
from brokers.threads import unending

from .store import RedisStore, unpack
from .transport.wire import Wire

log = logging.getLogger("orchestrator.inbox")
INBOX_TTL_MS: Final = 120_000  # an inbox whose process is gone disappears by itself
BLOCK_SECONDS: Final = 2.0  # a connection that died without a word is noticed so much later, and a command's timeout
LONGEST_PAUSE_SECONDS: Final = 1.0
UPKEEP_SECONDS: Final = 1.0  # so often it is asked whether the inbox is still there, and that it stays
UNTRIMMED: Final = 16  # entries that were read and may lie there: others than small ones seldom come alone
_ENDS: Final = InboxField.ENDS.encode()
_PIECES: Final = InboxField.PIECES.encode()
_ORDERS: Final = InboxField.ORDERS.encode()
MAX_ENTRIES: Final = 50  # of 128 kB at most: servers cut connections whose replies are larger than some 8 MB


class RedisInbox:
    """Reads the inbox ``name`` in a daemon thread.

    Args:
        store: where the inbox is.
        name: the process (or consumer) it belongs to.
        make: makes it in the store, if it is not there (any more).
        on_settled: gets (run id, status, outcome) of runs that ended; an empty outcome means: read the record.
        on_orders: gets (what, run id).
        on_gap: called after a connection or the inbox was lost, and found again.
        on_pieces: gets ends of calls of blocks that came together, with all their outcomes; ``on_settled`` does if it
            is ``None``, one by one.
    """

    def __init__(
        self,
        store: RedisStore,
        name: str,
        make: Callable[[], object],
        *,
        on_settled: Callable[[list[RunEnd]], None],
        on_orders: Callable[[list[tuple[str, str]]], None] = lambda orders: None,
        on_gap: Callable[[], None] = lambda: None,
        on_pieces: Callable[[list[BlockEnds]], None] | None = None,
    ) -> None:
        self.name = name
        self._store, self._make = store, make
        self._key = store.keys.inbox(name)
        self._on_settled, self._on_orders, self._on_gap = on_settled, on_orders, on_gap
        self._on_pieces = on_pieces
        self._last = b"0-0"
        self._kept_at, self._untrimmed = 0.0, 0
        self._wire: Wire | None = None
        self._stopping = threading.Event()
        self._gap = threading.Event()
        self._thread = threading.Thread(target=unending(self._run), name=f"inbox-{name}", daemon=True)

    def start(self) -> None:
        self._make()
        self._thread.start()

    def ask_again(self) -> None:
        self._gap.set()

    def stop(self) -> None:
        self._stopping.set()
        wire = self._wire
        if wire is not None:
            wire.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2)
        with suppress(BrokerError):  # it expires by itself
            self._store.wires.commands([("DEL", self._key)])

    def _run(self) -> None:
        pause = 0.02
        while not self._stopping.is_set():
            try:
                if self._gap.is_set():
                    self._gap.clear()
                    self._make()
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
            self._wire = self._store.wires.open()
            if self._stopping.is_set():
                self._drop()
                return
        reply = self._ask(self._wire)
        received = _Received()
        for _, entries in reply or ():
            for entry, fields in entries:
                self._last = entry
                self._untrimmed += 1
                try:
                    received.add(fields)
                except Exception as error:  # somebody damaged it: its runs are asked for again
                    log.warning("a message in the inbox %s cannot be read: %r", self.name, error)
                    self._gap.set()
        self._hand_on(received)

    def _hand_on(self, received: _Received) -> None:
        pieces: list[BlockEnds] = []
        settled = received.settled
        for piece in received.pieces:
            if self._on_pieces is not None and piece.is_whole:
                pieces.append(piece)
            else:
                settled += piece.each()
        if pieces and self._on_pieces is not None:
            self._on_pieces(pieces)
        if settled:
            self._on_settled(settled)
        if received.orders:
            self._on_orders(received.orders)

    def _ask(self, wire: Wire) -> Any:
        """Read; now and then, in the same write, what was read is dropped, and the inbox kept alive."""
        read = ("XREAD", "COUNT", MAX_ENTRIES, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", self._key, self._last)
        now = time.monotonic()
        if now - self._kept_at < UPKEEP_SECONDS and self._untrimmed < UNTRIMMED:
            return wire.command(*read, block_seconds=BLOCK_SECONDS)
        trim, keep = ("XTRIM", self._key, "MINID", self._last), ("PEXPIRE", self._key, INBOX_TTL_MS)
        _, kept, reply = wire.commands([trim, keep, read], BLOCK_SECONDS)
        self._kept_at, self._untrimmed = now, 0
        if not kept:  # expired while this process slept, or the server was emptied
            self._last = b"0-0"
            self._make()
            self._on_gap()
        return reply


class _Received:
    """What came in one read."""

    def __init__(self) -> None:
        self.settled: list[RunEnd] = []
        self.pieces: list[BlockEnds] = []
        self.orders: list[tuple[str, str]] = []

    def add(self, fields: list[Any]) -> None:
        """From one entry. Raises Exception: somebody damaged it; nothing of it is used."""
        kind, blob = fields[0], fields[1]
        if kind == _ENDS:
            row = unpack(blob)
            ends = [(row[i].decode(), row[i + 1], row[i + 2]) for i in range(0, len(row), 3)]
            if any(status not in FINAL_STATUSES or not isinstance(outcome, bytes) for _, status, outcome in ends):
                raise ValueError("its status is not final")
            self.settled += ends
        elif kind == _PIECES:
            self.pieces += [BlockEnds.checked(piece) for piece in unpack(blob)]
        elif kind == _ORDERS:
            row = unpack(blob)
            self.orders += [(row[i].decode(), row[i + 1].decode()) for i in range(0, len(row), 2)]
