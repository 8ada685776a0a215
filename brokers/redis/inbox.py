"""The inbox of a process: one stream, one thread, one connection for any number of handles.

1. It reads what others send: ends of runs that someone here waits for, orders (cancel, stop).
2. It keeps the inbox alive; an inbox without a process disappears after two minutes.
3. When the connection or the inbox was lost, messages may be lost with it: waiters then ask the store again.

A read is repeated from the last message seen, so a lost reply loses nothing.

A thread that waits for one run may read by itself (:meth:`RedisInbox.read_here`), by turns (``inbox_turn.py``). It
takes the end of that run, and nothing else: other messages are read once more by the inbox's thread. Nor does it mend
anything: a read that failed, or was broken off in its middle, is mended by that thread as any loss of the connection.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from brokers.block_ends import BlockEnds
from brokers.errors import BrokerError, BrokerUnavailable
from brokers.facets.workers import Wait
from brokers.messages import FINAL_STATUSES, RunEnd
from brokers.schema import InboxField
from brokers.threads import is_interruption, unending

from .inbox_turn import InboxTurn
from .store import RedisStore, unpack
from .transport.wire import NOT_YET, Wire

log = logging.getLogger("orchestrator.inbox")
INBOX_TTL_MS: Final = 120_000  # an inbox whose process is gone disappears by itself
BLOCK_SECONDS: Final = 2.0  # a connection that died without a word is noticed so much later, and a command's timeout
LONGEST_PAUSE_SECONDS: Final = 1.0
UPKEEP_SECONDS: Final = 1.0  # so often it is asked whether the inbox is still there, and that it stays
UNTRIMMED: Final = 16  # entries that were read and may lie there: others than small ones seldom come alone
_ENDS: Final = InboxField.ENDS.encode()
_PIECES: Final = InboxField.PIECES.encode()
_ORDERS: Final = InboxField.ORDERS.encode()
LEAST_SECONDS: Final = 0.5  # for a few bytes to be sent
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
        is_quiet: whether nobody but those who call :meth:`read_here` wants to know at once what comes; asked after
            reads. Unless given, the inbox's thread reads alone.
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
        is_quiet: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self._store, self._make = store, make
        self._key = store.keys.inbox(name)
        self._on_settled, self._on_orders, self._on_gap = on_settled, on_orders, on_gap
        self._on_pieces = on_pieces
        self._last = b"0-0"
        self._kept_at, self._untrimmed = 0.0, 0
        self._wire: Wire | None = None
        self._asked_at: float | None = None  # when a read began whose reply is still to come
        self._upkeep_replies = 0  # that come before it
        self._is_broken = False  # a read has begun, and what it brings may be lost
        self._turn = InboxTurn(is_quiet, self._forget_read)
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
        self._turn.close()
        wire = self._wire
        if wire is not None:
            wire.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2)
        with suppress(BrokerError):  # it expires by itself
            self._store.wires.commands([("DEL", self._key)])

    # -- a thread that waits -------------------------------------------------------------------------------------

    def read_here(self, wait: Wait, until: float) -> None:
        reader, is_others = object(), True
        try:
            if self._turn.take(reader):
                wait.interrupt = partial(self._interrupt, reader, threading.get_ident())
                is_others = self._read_until(reader, wait, until)
        except Exception as error:
            if is_interruption(error):
                raise
            self._note(error)
        finally:
            wait.interrupt = None
            self._turn.give(reader, at_once=is_others or self._asked_at is not None or self._needs_mending)

    def listen(self) -> None:
        self._turn.listen()

    def _read_until(self, reader: object, wait: Wait, until: float) -> bool:
        """Whether something came that is for others."""
        while not (wait.is_over or self._needs_mending) and self._turn.sign(reader) and time.monotonic() < until:
            self._is_broken = True  # until the read is over: an exception from outside may come between any two lines
            reply = self._reply(until)
            found = _only_end(reply) if reply is not NOT_YET and reply else None
            is_others = found is None and reply is not NOT_YET and bool(reply)
            if found is not None:
                entry, end = found
                if wait.take(end):
                    self._last = entry
                    self._untrimmed += 1
                else:
                    is_others = True
            self._is_broken = False
            if is_others:
                return True
        return False

    @property
    def _needs_mending(self) -> bool:
        wire = self._wire
        return self._is_broken or self._gap.is_set() or wire is None or wire.is_closed or self._stopping.is_set()

    def _interrupt(self, reader: object, thread: int) -> None:
        """What this reader waits for is there, by another way than the inbox: it must not go on to read."""
        if threading.get_ident() != thread:
            self._turn.interrupt(reader, self._close)

    def _close(self) -> None:
        wire = self._wire
        if wire is not None:
            wire.close()

    # -- the inbox's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.02
        while self._turn.wait():
            try:
                self._read_once()
                pause = 0.02
            except Exception as error:
                if self._stopping.is_set():
                    return
                self._note(error)
                self._stopping.wait(pause)  # whatever it is, it may come again and again
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            finally:
                self._turn.leave()

    def _note(self, error: Exception) -> None:
        """A read has failed; what is open is asked for by the next one in the inbox's thread."""
        if isinstance(error, BrokerError):
            log.debug("inbox lost its connection: %s", error)
            self._is_broken = True
        else:
            log.exception("a message in the inbox could not be handled; what is open is asked for")

    def _mend(self) -> None:
        """Connect, and ask for what may have been lost. Raises BrokerError."""
        if self._is_broken or (self._wire is not None and self._wire.is_closed):
            self._drop()
            self._gap.set()
            self._is_broken = False
        if self._gap.is_set():
            self._gap.clear()
            self._make()
            self._on_gap()
        if self._wire is None:
            self._wire = self._store.wires.open()
            if self._stopping.is_set():
                self._drop()

    def _forget_read(self) -> None:
        self._is_broken = True

    def _drop(self) -> None:
        wire, self._wire, self._asked_at, self._upkeep_replies = self._wire, None, None, 0
        if wire is not None:
            wire.close()

    # -- one read ------------------------------------------------------------------------------------------------

    def _read_once(self) -> None:
        """Read and hand on. Raises BrokerError."""
        self._mend()
        self._is_broken = True  # until it is over
        reply = self._reply(math.inf)
        if reply is not NOT_YET:
            self._hand_on(self._received(reply))
        self._is_broken = False

    def _reply(self, until: float) -> Any:
        """What came, or nothing came in the time of a read; :data:`NOT_YET`: that is to be read by the next one.

        Raises:
            BrokerError: the connection cannot be used any more.
        """
        wire, now = self._wire, time.monotonic()
        if wire is None or self._stopping.is_set():
            return NOT_YET
        longest = BLOCK_SECONDS + wire.timeout_seconds
        if self._asked_at is None:
            self._ask(wire, now, max(min(now + longest, until), now + LEAST_SECONDS))
        late_at = (self._asked_at or now) + longest
        while (reply := wire.answer_by(min(late_at, until))) is not NOT_YET:
            if wire is not self._wire:  # the turn was taken away from this thread, with which the process stood still
                return NOT_YET
            if not self._upkeep_replies:
                self._asked_at = None
                return reply
            self._upkeep_replies -= 1
            if not self._upkeep_replies and not reply:  # it expired while this process slept, or the server was emptied
                self._last = b"0-0"
                self._gap.set()
                return NOT_YET
        if until >= late_at:
            raise BrokerUnavailable(f"no reply in the inbox {self.name}")
        return NOT_YET

    def _received(self, reply: Any) -> _Received:
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
        return received

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

    def _ask(self, wire: Wire, now: float, until: float) -> None:
        """Ask for what comes; now and then, in the same write, what was read is dropped, and the inbox kept alive."""
        read = ("XREAD", "COUNT", MAX_ENTRIES, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", self._key, self._last)
        if now - self._kept_at < UPKEEP_SECONDS and self._untrimmed < UNTRIMMED:
            wire.begin([read], until)
        else:
            trim, keep = ("XTRIM", self._key, "MINID", self._last), ("PEXPIRE", self._key, INBOX_TTL_MS)
            wire.begin([trim, keep, read], until)
            self._kept_at, self._untrimmed, self._upkeep_replies = now, 0, 2
        self._asked_at = now


def _only_end(reply: Any) -> tuple[bytes, RunEnd] | None:
    """The entry and the end of a run, if nothing else has come."""
    ((_, entries),) = reply
    if len(entries) != 1:
        return None
    entry, fields = entries[0]
    received = _Received()
    try:
        received.add(fields)
    except Exception:  # the inbox's thread reads it again, and says so
        return None
    if len(received.settled) != 1 or received.pieces or received.orders:
        return None
    return entry, received.settled[0]


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
