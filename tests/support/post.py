"""Calls where another broker carries them: the store is real, and its messages are kept by the test.

So they come late, twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brokers.celery.carrier import CeleryCarrier
from brokers.messages import Delivery, Named
from brokers.redis.broker import RedisBroker
from orchestrator.runs.run_ids import new_map_run_ids
from tests.support.carriage import Calls

NOBODY: Any = None


class Post(Calls):
    """Sends calls, and keeps the messages that somebody has to publish."""

    def __init__(self, broker: RedisBroker) -> None:
        super().__init__(broker)
        self.store = broker.runs._store
        self._carrier = CeleryCarrier(self.store, NOBODY, NOBODY)

    def send_map(self, count: int, at_once: int = 25, **how: Any) -> tuple[list[str], list[Named]]:
        """The runs of a map, and what its messages name."""
        run_ids = new_map_run_ids(count)
        return run_ids, self.send([self.envelope(run_id, **how) for run_id in run_ids], at_once)

    def send(self, envelopes: Sequence[Any], at_once: int = 25) -> list[Named]:
        return self.published(self.write(envelopes, at_once))

    def write(self, envelopes: Sequence[Any], at_once: int = 25) -> list[Named]:
        """What is to be published."""
        _, rows = self.broker.runs.write(envelopes, lambda task: at_once)
        return [Named(row[0].decode(), row[1].decode(), *row[3:]) for row in rows]

    def published(self, named: Sequence[Named]) -> list[Named]:
        self.store.run("published", [one.key for one in named])
        return list(named)

    def relayed(self) -> list[Named]:
        """What scripts have queued meanwhile."""
        found: list[Named] = []
        for key in (self.broker.keys.outbox, self.broker.keys.range_outbox):
            for entry, row in self.command("XRANGE", key, "-", "+"):
                fields = dict(zip(row[::2], row[1::2], strict=True))
                place = (int(fields[b"F"]), int(fields[b"n"])) if b"n" in fields else ()
                found.append(Named(fields[b"i"].decode(), fields[b"e"].decode(), *place))
                self.command("XDEL", key, entry)
        return found

    def claim(self, named: Sequence[Named], consumer: str = "worker", **how: Any) -> list[Delivery]:
        return self._carrier.claim(consumer, named, **how)[0]

    def publish_again(self, queue: str, run_ids: Sequence[str]) -> int:
        return self._carrier.publish_again(queue, run_ids)

    def overdue(self, number: int) -> tuple[int, list[str]]:
        return self._carrier.awaited.overdue(["q", "other"], number)

    def publish_overdue(self, number: int, most: int = 100) -> int:
        return self._carrier.awaited.publish_overdue("q", number, most)

    def complete(self, deliveries: Sequence[Delivery]) -> None:
        assert self.broker.deliveries.complete("worker", list(map(self.ack, deliveries))) == []

    def finish(self, named: Sequence[Named]) -> list[str]:
        """Claim and end these, and whatever is queued by that; returns the runs in this order."""
        ended: list[str] = []
        while named:
            taken = self.claim(named)
            self.complete(taken)
            ended += [one.run_id for one in taken]
            named = self.relayed()
        return ended

    def on_the_way(self) -> int:
        """Calls that the store believes to be in messages."""
        return int(self.command("HGET", self.broker.keys.prefix + "carried", "q") or 0)

    def takes(self, seconds: float) -> None:
        """A call of the task takes so long."""
        self.command("HSET", self.broker.keys.speeds, "app.task", f"{seconds:.6f}")
