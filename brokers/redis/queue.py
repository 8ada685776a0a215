"""Reading a queue: take what is there, or block until something comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from brokers.contract import Delivery, Settlement
from brokers.errors import BrokerRefused, BrokerUnavailable

from .broker import RedisBroker, delivery_from, unpack
from .keys import GROUP
from .wire import Wire


class QueueReader:
    """One consumer's reader of some routes, for one thread, over a wire of its own.

    Args:
        broker: where the routes are.
        consumer: who reads.
        routes: what is read, first come first read.
        block_seconds: how long :meth:`wait` waits.
        trust_seconds: a call that comes whole so soon is not looked up in the store. It has to be so short that nobody
            can have taken this consumer for dead meanwhile, and given the call to another.

    It dies loudly: any verb may raise a BrokerError, after which the wire is gone and the next call opens another one.
    """

    def __init__(
        self,
        broker: RedisBroker,
        consumer: str,
        routes: Sequence[str],
        block_seconds: float = 2.0,
        trust_seconds: float = 0.0,
    ) -> None:
        self._broker = broker
        self._consumer = consumer
        self._routes = list(routes)
        self._streams = [broker.keys.stream(route) for route in routes]
        self._block_seconds = block_seconds
        self._trust_seconds = trust_seconds
        self._wire: Wire | None = None
        self._read_now = self._routes, self._streams
        self._left_out: frozenset[str] | None = frozenset()
        self._changed = threading.Event()
        self._woken = False
        self._turn = 0
        self.closed = False
        self._blocking = False
        self._lock = threading.Lock()

    def take(self, want: int, settle: Sequence[Settlement] = ()) -> tuple[list[Delivery], list[str]]:
        """Settle, and take up to ``want`` calls that are there now.

        Returns:
            The deliveries, and the run ids whose settlement was refused (stale ticket).
        """
        return self._fetch(want, settle, [])

    def wait(self, want: int) -> list[Delivery]:
        """Block until a call comes (or some seconds have passed), then take up to ``want``."""
        begun = time.monotonic()
        claimed = self._claim()
        if claimed and time.monotonic() - begun <= self._trust_seconds and self._left_out == frozenset():
            whole = [_whole(*entry) for entry in claimed if len(entry[2]) >= 10]
            if len(whole) == len(claimed):
                return whole
        return (
            self._fetch(want, (), [(route, entry, fields[1]) for route, entry, fields in claimed])[0] if claimed else []
        )

    def close(self) -> None:
        """Close for good; a thread that blocks in :meth:`wait` gets BrokerUnavailable.

        A :meth:`take` that is under way is left alone: cut off, it would not know whether its outcomes were stored.
        """
        with self._lock:
            self.closed = True
            self._changed.set()
            if self._blocking:
                self._drop()

    def leave_out(self, queues: frozenset[str] | None) -> None:
        """From now on do not take calls of these queues; ``None``: take none at all.

        A thread that blocks is woken when there is more to read than before, or nothing: it would hear of it too late.
        Should a claim be on its way just then, its reply is lost, and the call is handed back soon.
        """
        with self._lock:
            if queues == self._left_out:
                return
            more = queues is None or self._left_out is None or not self._left_out <= queues
            self._left_out = queues
            routes = [route for route in self._routes if queues is not None and route[:-3] not in queues]
            self._read_now = routes, [self._broker.keys.stream(route) for route in routes]
            self._changed.set()
            if more and self._blocking:
                self._woken = True
                self._drop()

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _open(self) -> Wire:
        self._check_open()
        if self._wire is None:
            self._wire = self._broker.wires.open()
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

    def _fetch(self, want: int, settle: Sequence[Settlement], claimed: list[Any]) -> tuple[list[Delivery], list[str]]:
        arguments = [self._consumer, self._ordered_routes(), want, claimed, self._broker.ttl_ms]
        calls, settled = self._broker.fetch_calls(settle, arguments)
        try:
            replies = self._open().run(*calls, prefix=self._broker.keys.prefix)
        except BrokerUnavailable:
            self._drop()
            raise
        refused = [run_id.decode() for run_id in unpack(replies[0])] if settled else []
        return [delivery_from(row) for row in unpack(replies[-1])], refused

    def _claim(self) -> list[tuple[str, bytes, list[bytes]]]:
        block = int(self._block_seconds * 1000)
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", block, "STREAMS")
        wire = self._open()
        with self._lock:
            self._check_open()
            wanted = self._read_now[1]
            self._changed.clear()
            self._blocking, self._woken = bool(wanted), False
        if not wanted:
            self._changed.wait(self._block_seconds)
            return []
        try:
            streams = [*wanted, *[">"] * len(wanted)]
            reply = wire.command(*command, *streams, block_seconds=self._block_seconds)
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
        route_of = self._broker.keys.route
        return [
            (route_of(stream.decode()), entry, fields) for stream, entries in reply or () for entry, fields in entries
        ]

    def prepare(self) -> None:
        """Make the streams and groups."""
        commands = [("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM") for stream in self._streams]
        for command in commands:
            try:
                self._open().command(*command)
            except BrokerRefused as error:
                if "BUSYGROUP" not in str(error):
                    raise


def _whole(route: str, entry: bytes, fields: list[bytes]) -> Delivery:
    """The first delivery of a plain call, from its queue entry alone: see ``send.lua``, which names the fields."""
    _, run_id, _, task, _, body, _, flow_run_id, _, meta = fields[:10]
    return Delivery(
        f"{route} {entry.decode()}",
        run_id.decode(),
        task.decode(),
        body,
        retries=0,
        crashes=0,
        flow_run_id=flow_run_id.decode() or None,
        meta=meta or None,
        deliveries=1,
    )
