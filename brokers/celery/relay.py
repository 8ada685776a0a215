"""Publishes what scripts have queued: retries, delayed calls, released dependants, calls of dead workers.

The store's ``outbox`` is a stream with one consumer group, ``p``; any number of relays read it, and beside it that of
ranges of blocks, which relays of older versions do not know. What a relay read and did not confirm, because it died or
the broker was away, another one takes after a few seconds. To publish twice is harmless: a call is claimed by its
ticket, once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from brokers.errors import BrokerError, BrokerRefused, BrokerUnavailable
from brokers.messages import Named
from brokers.redis.store import RedisStore
from brokers.stored import text, whole

from .messages import Carried
from .runs import CeleryRuns

GROUP: Final = "p"
TAKE_CALLS: Final = 1000
BLOCK_SECONDS: Final = 1.0
STALE_SECONDS: Final = 5.0
_Entry: TypeAlias = tuple[str, bytes, dict[bytes, bytes]]
"""Of an outbox: its key, the entry's id, and its fields."""


class Relay:
    """One reader of the outbox, for one thread.

    Args:
        store: whose outbox.
        runs: publishes what is in it.
    """

    def __init__(self, store: RedisStore, runs: CeleryRuns) -> None:
        self._store, self._runs = store, runs
        self._keys = (store.keys.outbox, store.keys.range_outbox)
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
            self._runs.publish([_carried(fields) for _, _, fields in entries])
            self._forget(entries)
        return len(entries)

    def close(self) -> None:
        """Wake the thread that waits in :meth:`run_once`; it gets BrokerUnavailable."""
        self._closed = True
        self._drop()

    def _open(self) -> Any:
        if self._closed:
            raise BrokerUnavailable("this relay is closed")
        if self._wire is None:
            self._wire = self._store.wires.open()
        return self._wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _prepare(self) -> None:
        for key in self._keys:
            try:
                self._open().command("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM")
            except BrokerError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def _new(self) -> list[_Entry]:
        reply = self._open().command(
            "XREADGROUP", "GROUP", GROUP, self._name, "COUNT", TAKE_CALLS, "BLOCK", int(BLOCK_SECONDS * 1000),
            "STREAMS", *self._keys, *[">"] * len(self._keys), block_seconds=BLOCK_SECONDS,
        )  # fmt: skip
        return [entry for key, entries in reply or () for entry in _entries(key.decode(), entries)]

    def _stale(self) -> list[_Entry]:
        """Taken by someone, me included, and not confirmed for a while."""
        idle = int(STALE_SECONDS * 1000)
        commands = [("XAUTOCLAIM", key, GROUP, self._name, idle, "0-0", "COUNT", TAKE_CALLS) for key in self._keys]
        replies = self._open().commands(commands)
        return [entry for key, reply in zip(self._keys, replies, strict=True) for entry in _entries(key, reply[1])]

    def _forget(self, entries: Sequence[_Entry]) -> None:
        for key in self._keys:
            mine = [entry for stream, entry, _ in entries if stream == key]
            if mine:
                self._open().commands([("XACK", key, GROUP, *mine), ("XDEL", key, *mine)])


def _entries(key: str, entries: Any) -> list[_Entry]:
    return [(key, entry, dict(zip(fields[::2], fields[1::2], strict=True))) for entry, fields in entries if fields]


def _carried(fields: Mapping[bytes, bytes]) -> Carried:
    """What is to be published, from an entry of an outbox."""
    first, count = whole(fields.get(b"F")), whole(fields.get(b"n"))
    named = Named(text(fields.get(b"i")), text(fields.get(b"e")), first, count)
    return Carried(named, text(fields.get(b"t")))
