"""One namespace of a server: how a script or a reading command is sent to it. The facets share one.

Every verb is one script, every script gets one msgpack value and gives one back: a batch of 500 calls costs redis-py
one argument instead of 4,000, and replies look the same under RESP2 and RESP3. The old msgpack spec is used (no bin
type), the only one that the servers' ``cmsgpack`` reads.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

from brokers.errors import BrokerRefused
from brokers.stored import table

from .keys import Keys
from .scripts import Script, load
from .transport.connection import Wires


def pack(value: Any) -> bytes:
    """One argument for a script."""
    packed: bytes = msgpack.packb(value, use_bin_type=False, unicode_errors="surrogateescape")
    return packed


def unpack(blob: bytes) -> Any:
    """One reply of a script; strings come as bytes."""
    return msgpack.unpackb(blob, raw=True, strict_map_key=False)


def flat(fields: Mapping[str, str | bytes]) -> list[str | bytes]:
    """The fields of a hash in the row that a script reads."""
    return [part for pair in fields.items() for part in pair]


class RedisStore:
    """One namespace of a Redis or Valkey server.

    Args:
        wires: connections to the server.
        namespace: keeps several applications on one server apart.
        result_ttl_seconds: how long the store keeps runs that it ends by itself (cancelled, expired, not ready).
        queue_limit: how many calls a queue may hold, those that run included; 0 for no limit.
        external_carrier: whether queued calls travel as messages of another broker; the streams hold only what is
            claimed then.
        blocks: whether calls of a map are kept together.

    Attributes:
        long_ways: how many of the next groups of acks are not tried the short way: see ``settling.py``.
    """

    def __init__(
        self,
        wires: Wires,
        namespace: str,
        *,
        result_ttl_seconds: float = 86_400,
        queue_limit: int = 0,
        external_carrier: bool = False,
        blocks: bool = True,
    ) -> None:
        self.wires = wires
        self.keys = Keys(namespace)
        self.ttl_ms = int(result_ttl_seconds * 1000)
        self.queue_limit = queue_limit
        self.external_carrier = external_carrier
        self.long_ways = 0
        self.blocks = blocks

    def run(self, verb: str, arguments: Any) -> Any:
        """Run the script of a verb; returns what it replies. Raises BrokerError."""
        return unpack(self.wires.run((self.script(verb), pack(arguments)), prefix=self.keys.prefix)[0])

    def run_once(self, verb: str, arguments: Any) -> Any:
        """:meth:`run`, for a verb whose reply says what it has changed: see ``once.lua``.

        Should the reply be lost and the script be run again over another connection, it says the same again.
        """
        call = (self.script(verb), pack(arguments), secrets.token_hex(8))
        return unpack(self.wires.run(call, prefix=self.keys.prefix)[0])

    def script(self, verb: str) -> Script:
        """The script of a verb, for whoever drives a wire of their own."""
        return load(verb, self.external_carrier)

    def look(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Replies to commands that read; ``None`` where a key holds something of another type than it should."""
        if not commands:
            return []
        try:
            return self.wires.commands(commands)
        except BrokerRefused as error:
            if "WRONGTYPE" not in str(error):
                raise
        replies: list[Any] = []
        for command in commands:
            try:
                replies += self.wires.commands([command])
            except BrokerRefused as error:
                if "WRONGTYPE" not in str(error):
                    raise
                replies.append(None)
        return replies

    def hashes(self, keys: Sequence[bytes | str]) -> list[dict[bytes, bytes]]:
        """The fields of some hashes; of a key that is none, nothing."""
        return [table(row) for row in self.look([("HGETALL", key) for key in keys])]

    def describe(
        self, key: str, fields: Mapping[str, str | bytes], ttl_ms: float, for_journal: Sequence[Any] | None = None
    ) -> None:
        """Write fields of a hash that lives so long from now on."""
        self.run("describe", [key, int(ttl_ms), flat(fields), for_journal])
