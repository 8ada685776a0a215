"""Reading a queue: take what is there, or block until something comes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from brokers.errors import BrokerError, BrokerRefused, BrokerUnavailable
from brokers.messages import Ack, Delivery, NotSettled
from brokers.schema import QueueEntryField
from brokers.stored import text, text_or_none

from .fetching import fetch
from .keys import GROUP
from .settling import Settling
from .settling import settle as settle_alone
from .store import RedisStore
from .transport.wire import Wire

_WHOLE: Final = [
    field.encode()
    for field in (
        QueueEntryField.RUN,
        QueueEntryField.TASK,
        QueueEntryField.BODY,
        QueueEntryField.FLOW_RUN,
        QueueEntryField.META,
    )
]
"""Fields of a plain call's entry, in the order of ``send.lua``."""


_NEVER: Final = -math.inf
Claim: TypeAlias = tuple[str, bytes, list[bytes]]
"""Route, entry and its fields."""
LOOK_SECONDS: Final = 1.0
"""So often the script looks, which moves what is due and takes turns: also while every call is waited for."""


class RedisQueueReader:
    """One consumer's reader of some routes, for one thread, over a wire of its own.

    While calls come one by one, a trip is saved for each: the ends of those before and the claim of the next, which
    blocks, are asked for in one write, and :meth:`wait` has only to read what comes of it.

    Args:
        store: where the routes are.
        consumer: who reads.
        routes: what is read, first come first read.
        block_seconds: how long :meth:`wait` waits.
        trust_seconds: a call that comes whole so soon is not looked up in the store. It has to be so short that nobody
            can have taken this consumer for dead meanwhile, and given the call to another.

    Not self-healing: any verb may raise a BrokerError, after which the next call opens another wire.
    """

    def __init__(
        self,
        store: RedisStore,
        consumer: str,
        routes: Sequence[str],
        block_seconds: float = 2.0,
        trust_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._routes = list(routes)
        self._streams = [store.keys.stream(route) for route in routes]
        self._block_seconds = block_seconds
        self._trust_seconds = trust_seconds
        self._wire: Wire | None = None
        self._read_now = self._routes, self._streams
        self._left_out: frozenset[str] | None = frozenset()
        self._changed = threading.Event()
        self._woken = False
        self._turn = 0
        self._looked_at = _NEVER  # when the script was run last, if it found nothing
        self._asked_at: float | None = None  # when a claim was asked for whose reply is still to be read
        self._claims: list[Claim] = []  # that came, and could not be looked up yet
        self.closed = False
        self._blocking = False
        self._lock = threading.Lock()

    def take(self, want: int, settle: Sequence[Ack] = ()) -> tuple[list[Delivery], list[str]]:
        if self._asked_at is not None:  # what came of it is to be read first
            return [], settle_alone(self._store, settle)
        if settle and time.monotonic() - self._looked_at < LOOK_SECONDS:
            refused = self._settle_and_claim(settle)
            return (self.wait(want) if self._is_answered else []), refused
        found, refused = self._fetch(want, settle)
        self._looked_at = _NEVER if found else time.monotonic()
        return found, refused

    def wait(self, want: int) -> list[Delivery]:
        begun = self._asked_at or time.monotonic()
        if self._claims and self._asked_at is None:  # these first: nothing is waited for
            return self._fetch(want, ())[0]
        claimed = self._claimed() if self._asked_at is not None else self._claim()
        if claimed and time.monotonic() - begun <= self._trust_seconds and self._left_out == frozenset():
            whole = [found for entry in claimed if (found := _whole(*entry)) is not None]
            if len(whole) == len(claimed):
                return whole
        self._claims += claimed
        return self._fetch(want, ())[0] if self._claims else []

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self._changed.set()
            if self._blocking:
                self._drop()

    def leave_out(self, queues: frozenset[str] | None) -> None:
        with self._lock:
            if queues == self._left_out:
                return
            more = queues is None or self._left_out is None or not self._left_out <= queues
            self._left_out = queues
            routes = [route for route in self._routes if queues is not None and route[:-3] not in queues]
            self._read_now = routes, [self._store.keys.stream(route) for route in routes]
            self._changed.set()
            if more and self._blocking:
                self._woken = True
                self._drop()

    def _drop(self) -> None:
        wire, self._wire, self._asked_at = self._wire, None, None
        self._blocking = False
        if wire is not None:
            wire.close()

    def _open(self) -> Wire:
        self._check_open()
        if self._wire is None or self._wire.is_closed:
            self._wire = self._store.wires.open()
            self._check_open()  # it may have been closed while it opened
        return self._wire

    def _check_open(self) -> None:
        if self.closed:
            self._drop()
            raise BrokerUnavailable("this reader is closed")

    def _ordered_routes(self) -> list[str]:
        # Strict order by priority, but every eighth time from the other end: a flood of high never starves low.
        self._turn += 1
        routes = self._read_now[0]
        return routes[::-1] if self._turn % 8 == 0 else routes

    def _fetch(self, want: int, settle: Sequence[Ack]) -> tuple[list[Delivery], list[str]]:
        """Run the script, which looks up what was claimed; the claims are kept until it has."""
        claimed = [(route, entry, fields[1]) for route, entry, fields in self._claims]
        arguments = [self._consumer, self._ordered_routes(), want, claimed, self._store.ttl_ms]
        try:
            found = fetch(self._store, self._open(), arguments, settle)
        except BrokerError as error:
            if isinstance(error, BrokerUnavailable):
                self._drop()
            if isinstance(error, NotSettled):
                self._claims.clear()
            raise
        except BaseException:  # of a reply: it would not be another one the next time
            self._claims.clear()
            raise
        self._claims.clear()
        return found

    def _settle_and_claim(self, acks: Sequence[Ack]) -> list[str]:
        """Store acks and ask for a call in one write; the reply to that is not awaited. Returns who was refused."""
        wanted, wire = self._read_now[1], self._open()
        settling = Settling(self._store, acks)
        if not wanted:
            return settle_alone(self._store, acks)
        self._asked_at = time.monotonic()
        try:
            reply = wire.ask(settling.call, *self._claiming(wanted), prefix=self._store.keys.prefix)
        except BrokerUnavailable:
            self._drop()
            raise
        if wire.has_answer:  # calls do not come one by one: the script takes as many as there are
            self._looked_at = _NEVER
        else:
            self._block_from_now_on(wanted)
        return settle_alone(self._store, acks) if isinstance(reply, Exception) else settling.refused(reply)

    def _block_from_now_on(self, wanted: list[str]) -> None:
        with self._lock:
            if self.closed or self._read_now[1] is not wanted:
                self._drop()
            else:
                self._blocking, self._woken = True, False

    @property
    def _is_answered(self) -> bool:
        return self._asked_at is not None and self._wire is not None and self._wire.has_answer

    def _claiming(self, streams: list[str]) -> Sequence[Any]:
        block = int(self._block_seconds * 1000)
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", block, "STREAMS")
        return (*command, *streams, *[">"] * len(streams))

    def _claim(self) -> list[Claim]:
        wire = self._open()
        with self._lock:
            self._check_open()
            wanted = self._read_now[1]
            self._changed.clear()
            self._blocking, self._woken = bool(wanted), False
        if not wanted:
            self._changed.wait(self._block_seconds)
            return []
        return self._read(lambda: wire.command(*self._claiming(wanted), block_seconds=self._block_seconds))

    def _claimed(self) -> list[Claim]:
        """What came of the claim that was asked for."""
        wire, self._asked_at = self._wire, None
        if wire is None:  # dropped in this moment, to be asked anew
            return []
        return self._read(lambda: wire.answer(self._block_seconds))

    def _read(self, ask: Callable[[], Any]) -> list[Claim]:
        try:
            reply = ask()
        except BrokerUnavailable:
            self._drop()
            if self._woken:
                self._woken = False
                return []
            raise
        except BrokerRefused as error:
            if "NOGROUP" in str(error):  # a new queue, or a server that was emptied: the fetch script makes the groups
                self.prepare()
                return []
            raise
        finally:
            self._blocking = False
        route_of = self._store.keys.route
        return [
            (route_of(stream.decode()), entry, fields) for stream, entries in reply or () for entry, fields in entries
        ]

    def prepare(self) -> None:
        commands = [("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM") for stream in self._streams]
        for command in commands:
            try:
                self._open().command(*command)
            except BrokerRefused as error:
                if "BUSYGROUP" not in str(error):
                    raise


def _whole(route: str, entry: bytes, fields: list[bytes]) -> Delivery | None:
    """The first delivery of a plain call, from its queue entry alone, if it is one: see ``send.lua``."""
    if fields[:10:2] != _WHOLE:
        return None
    _, run_id, _, task, _, body, _, flow_run_id, _, meta = fields[:10]
    return Delivery(
        f"{route} {entry.decode()}",
        text(run_id),
        text(task),
        body,
        retries=0,
        crashes=0,
        flow_run_id=text_or_none(flow_run_id),
        meta=meta or None,
        deliveries=1,
    )
