"""Publishes what scripts have queued: retries, delayed calls, released dependants, calls of dead workers.

The store's ``outbox`` is a stream with one consumer group, ``p``; any number of relays read it. What a relay read and
did not confirm, because it died or the broker was away, another one takes after a few seconds. To publish twice is
harmless: a call is claimed by its ticket, once.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from brokers.errors import BrokerError, BrokerRefused, BrokerUnavailable

from .broker import CarriedBroker
from .messages import Carried

GROUP: Final = "p"
TAKE_CALLS: Final = 1000
BLOCK_SECONDS: Final = 1.0
STALE_SECONDS: Final = 5.0


class Relay:
    """One reader of the outbox, for one thread.

    Args:
        broker: its store and its publisher.
    """

    def __init__(self, broker: CarriedBroker) -> None:
        self._broker = broker
        self._key = broker.keys.outbox
        self._name = secrets.token_hex(6)
        self._wire: Any = None
        self._closed = False

    def run_once(self) -> int:
        """Wait for something to publish, for about a second, and publish it; returns how many calls.

        Raises:
            BrokerError: the store or the broker does not answer; nothing is lost, try again.
        """
        try:
            entries = self._stale() or self._new()
        except BrokerRefused as error:
            if "NOGROUP" not in str(error):
                raise
            self._prepare()
            return 0
        except BrokerUnavailable:
            self._drop()
            raise
        if entries:
            calls = [Carried(row[b"i"].decode(), row[b"e"].decode(), row[b"t"].decode()) for _, row in entries]
            self._broker.publish(calls)
            self._forget([entry for entry, _ in entries])
        return len(entries)

    def close(self) -> None:
        """Wake the thread that waits in :meth:`run_once`; it gets BrokerUnavailable."""
        self._closed = True
        self._drop()

    def _open(self) -> Any:
        if self._closed:
            raise BrokerUnavailable("this relay is closed")
        if self._wire is None:
            self._wire = self._broker.wires.open()
        return self._wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _prepare(self) -> None:
        try:
            self._open().command("XGROUP", "CREATE", self._key, GROUP, "0", "MKSTREAM")
        except BrokerError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _new(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        reply = self._open().command(
            "XREADGROUP", "GROUP", GROUP, self._name, "COUNT", TAKE_CALLS, "BLOCK", int(BLOCK_SECONDS * 1000),
            "STREAMS", self._key, ">", block_seconds=BLOCK_SECONDS,
        )  # fmt: skip
        return [row for _, entries in reply or () for row in _rows(entries)]

    def _stale(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Taken by someone, me included, and not confirmed for a while."""
        idle = int(STALE_SECONDS * 1000)
        reply = self._open().command("XAUTOCLAIM", self._key, GROUP, self._name, idle, "0-0", "COUNT", TAKE_CALLS)
        return _rows(reply[1])

    def _forget(self, entries: list[bytes]) -> None:
        self._open().commands([("XACK", self._key, GROUP, *entries), ("XDEL", self._key, *entries)])


def _rows(entries: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    return [(entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in entries if fields]
