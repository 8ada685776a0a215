"""The contract's verbs where another broker carries the calls."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from brokers.contract import Delivery, Envelope, Settlement
from brokers.errors import BrokerError, BrokerUnavailable
from brokers.redis.broker import RedisBroker, delivery_from, pack, unpack
from brokers.redis.wire import Wires

from .messages import Carried, messages_for
from .publisher import Publisher
from .topology import Topology, is_amqp

log = logging.getLogger("orchestrator.broker")
SPEEDS_AGE_SECONDS: Final = 2.0
MOST_SPARE: Final = 100


class CarriedBroker(RedisBroker):
    """Writes calls to the store, then publishes them; a call that was written and not published is published later.

    Args:
        wires: connections to the store.
        namespace: keeps several applications on one store and one broker apart.
        url: the broker, ``celery+amqp://...`` or the like.
        timeout_seconds, connect_timeout_seconds: how long the broker may take.
        more: see :class:`brokers.redis.broker.RedisBroker`.
    """

    carried = True

    def __init__(
        self,
        wires: Wires,
        namespace: str,
        url: str,
        *,
        timeout_seconds: float = 1.5,
        connect_timeout_seconds: float = 0.5,
        **more: Any,
    ) -> None:
        super().__init__(wires, namespace, **more)
        self.url = url
        self.topology = Topology(namespace, amqp=is_amqp(url))
        self.publisher = Publisher(
            url, self.topology, timeout_seconds=timeout_seconds, connect_timeout_seconds=connect_timeout_seconds
        )
        self._speeds: dict[str, float] = {}
        self._speeds_read = 0.0

    # -- sending -------------------------------------------------------------------------------------------------

    def _submit(self, envelopes: Sequence[Envelope]) -> list[tuple[int, bytes]]:
        """One slice: written, published, noted as published. Nothing of it stays when it cannot be published."""
        self.publisher.check()
        known, unsent = self._run("submit", [self.queue_limit, envelopes])
        if not unsent:
            return list(known)
        by_run = {envelope.run_id: envelope for envelope in envelopes}
        calls = [
            Carried(run_id, ticket.decode(), by_run[run_id].task, len(by_run[run_id].body))
            for run_id, ticket in ((row[0].decode(), row[1]) for row in unsent)
        ]
        try:
            self.publish(calls)
        except BrokerError as error:
            self._withdraw(envelopes, error)
            raise
        return list(known)

    def publish(self, calls: Sequence[Carried]) -> None:
        """Publish calls that are in the store, and note that nobody else has to. Raises BrokerError."""
        self.publisher.publish(messages_for(calls, self.seconds_of()))
        with suppress(BrokerError):  # then someone publishes them again, which changes nothing
            self._run("published", [call.run_id for call in calls])

    def _withdraw(self, envelopes: Sequence[Envelope], error: BrokerError) -> None:
        pairs = [(envelope.run_id, ((envelope.extras or {}).get("i") or [False])[0]) for envelope in envelopes]
        try:
            claimed = self._run("withdraw", pairs)
        except BrokerError as also:
            raise BrokerUnavailable(
                f"{error} The {len(pairs)} calls could not be taken back either ({also}): they are sent when both are "
                "there again."
            ) from error
        if claimed:
            log.warning("%d calls are run although their sender was told that they were not sent", len(claimed))

    # -- how long tasks take ---------------------------------------------------------------------------------------

    def seconds_of(self) -> dict[str, float]:
        """How long a call takes, by task, as the workers have noted; read every few seconds."""
        now = time.monotonic()
        if now - self._speeds_read > SPEEDS_AGE_SECONDS:
            self._speeds_read = now
            with suppress(BrokerError):
                (row,) = self.wires.commands([("HGETALL", self.keys.speeds)])
                self._speeds = {row[i].decode(): float(row[i + 1]) for i in range(0, len(row), 2)}
        return self._speeds

    def note_seconds(self, task: str, seconds: float) -> None:
        """Calls of this task take so long."""
        self.wires.commands([("HSET", self.keys.speeds, task, f"{seconds:.6f}")])

    # -- taking --------------------------------------------------------------------------------------------------

    def claim(
        self, consumer: str, calls: Sequence[tuple[str, str]], settle: Sequence[Settlement] = ()
    ) -> tuple[list[Delivery], list[str]]:
        """Take the calls of a message that still wait for it; settle others on the way.

        Returns:
            The deliveries, and the run ids whose settlement was refused because their ticket was stale.
        """
        scripts, settled = self.fetch_calls(settle, [consumer, [], len(calls), [], self.ttl_ms, calls])
        replies = self.wires.run(*scripts, prefix=self.keys.prefix)
        refused = [run_id.decode() for run_id in unpack(replies[0])] if settled else []
        return [delivery_from(row) for row in unpack(replies[-1])], refused

    # -- messages that a worker holds and cannot begin --------------------------------------------------------------

    def offer_spare(self, worker: str, messages: Sequence[Sequence[tuple[str, str]]], ttl_seconds: float) -> None:
        """Let any process of a worker take the calls of messages that it received and has no place for."""
        key = self.keys.spare(worker)
        self.wires.commands(
            [
                ("RPUSH", key, *[pack(message) for message in messages]),
                ("LTRIM", key, -MOST_SPARE, -1),
                ("PEXPIRE", key, int(ttl_seconds * 1000)),
            ]
        )

    def take_spare(self, worker: str) -> list[tuple[str, str]] | None:
        """The calls of such a message, or ``None``."""
        (found,) = self.wires.commands([("LPOP", self.keys.spare(worker))])
        return [(run_id.decode(), ticket.decode()) for run_id, ticket in unpack(found)] if found else None

    def close(self) -> None:
        """Close the connections."""
        self.publisher.close()
        super().close()
