"""Reading a queue: take what is there, or block until something comes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from brokers.contract import Delivery, Settlement
from brokers.errors import BrokerRefused, BrokerUnavailable

from .broker import RedisBroker, delivery_from, unpack
from .keys import GROUP
from .wire import Wire


class QueueReader:
    """One consumer's reader of some routes, for one thread, over a wire of its own.

    It dies loudly: any verb may raise a BrokerError, after which the wire is gone and the next call opens another one.
    """

    def __init__(self, broker: RedisBroker, consumer: str, routes: Sequence[str], block_seconds: float = 2.0) -> None:
        self._broker = broker
        self._consumer = consumer
        self._routes = list(routes)
        self._streams = [broker.keys.stream(route) for route in routes]
        self._block_seconds = block_seconds
        self._wire: Wire | None = None
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
        claimed = self._claim()
        return self._fetch(want, (), claimed)[0] if claimed else []

    def close(self) -> None:
        """Close for good; a thread that blocks in :meth:`wait` gets BrokerUnavailable.

        A :meth:`take` that is under way is left alone: cut off, it would not know whether its outcomes were stored.
        """
        with self._lock:
            self.closed = True
            if self._blocking:
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
        return self._routes[::-1] if self._turn % 8 == 0 else self._routes

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

    def _claim(self) -> list[tuple[str, bytes, bytes]]:
        block = int(self._block_seconds * 1000)
        command = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", block, "STREAMS")
        wire = self._open()
        with self._lock:
            self._check_open()
            self._blocking = True
        try:
            streams = [*self._streams, *[">"] * len(self._streams)]
            reply = wire.command(*command, *streams, block_seconds=self._block_seconds)
        except BrokerUnavailable:
            self._drop()
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
            (route_of(stream.decode()), entry, fields[1])
            for stream, entries in reply or ()
            for entry, fields in entries
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
