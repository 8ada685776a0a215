"""Calls that are submitted and ended without a worker, as quickly as the store takes them."""

from __future__ import annotations

import random
import time
from typing import Any

import msgpack

from brokers.messages import Ack, AckKind, Delivery, Envelope, routes_of
from orchestrator import serializers
from orchestrator.client.fleet import Fleet
from orchestrator.runs.run_ids import new_run_id
from orchestrator.serializers.outcomes import enclosed, pack_outcome
from orchestrator.submission.signed_calls import call_context

TTL_MS = 600_000
MESSAGES = {
    AckKind.COMPLETED: None,
    AckKind.FAILED: "ValueError: no luck",
    AckKind.CRASHED: "the worker died\nin the night",
    AckKind.DEAD: "given up",
}


class Work:
    """A fleet's calls.

    Args:
        fleet: whose.
        queues: where they go.
    """

    def __init__(self, fleet: Fleet, queues: tuple[str, ...] = ("q", "other")) -> None:
        self.fleet, self.broker, self.queues = fleet, fleet.broker, queues
        self._routes = routes_of(list(queues), "s")

    def submit(
        self,
        task: str = "shop.pay",
        queue: str = "q",
        *,
        tags: tuple[str, ...] = (),
        flow: str | None = None,
        parent: str | None = None,
        kwargs: dict[str, Any] | None = None,
        **extras: Any,
    ) -> str:
        """Submit one call; returns its run id."""
        return self.submit_many(1, task, queue, tags=tags, flow=flow, parent=parent, kwargs=kwargs, **extras)[0]

    def submit_many(
        self,
        count: int,
        task: str = "shop.pay",
        queue: str = "q",
        *,
        tags: tuple[str, ...] = (),
        flow: str | None = None,
        parent: str | None = None,
        kwargs: dict[str, Any] | None = None,
        **extras: Any,
    ) -> list[str]:
        """Submit some calls, oldest first."""
        meta: dict[str, Any] = {**({"g": sorted(tags)} if tags else {}), **({"P": parent} if parent else {})}
        packed = msgpack.packb(meta) if meta else None
        envelopes = []
        for _ in range(count):
            run_id = new_run_id()
            body, _ = serializers.pack_call(
                (),
                kwargs or {},
                context=lambda run_id=run_id: call_context(task, run_id, packed),
                limits=self.fleet.limits,
            )  # type: ignore[misc]
            envelopes.append(Envelope(run_id, task, f"{queue}:ds", body, flow, None, packed, extras or None))
        return self.broker.runs.submit(envelopes)

    def take(self, most: int = 100) -> list[Delivery]:
        """What a worker gets now."""
        return self.broker.deliveries.fetch("worker", self._routes, most)[0]

    def end(
        self, deliveries: list[Delivery], how: str = AckKind.COMPLETED, worker: str = "", name: str | None = None
    ) -> None:
        """End them so."""
        now, letter = time.time(), "Z" if how == AckKind.DEAD else how
        acks = []
        for delivery in deliveries:
            took = 0.0001 * (1 + int(delivery.run_id[-2:], 16))
            outcome = pack_outcome(name, MESSAGES.get(how), now - took, now, 1 + delivery.retries, None, worker)
            stored = b"" if how == AckKind.RETRY else enclosed(delivery.run_id, letter, outcome)
            acks.append(Ack(delivery.ticket, delivery.run_id, how, stored, TTL_MS))
        assert self.broker.deliveries.complete("worker", acks) == []

    def run(self, how: str = AckKind.COMPLETED, most: int = 100, worker: str = "") -> list[str]:
        """Take some and end them so; returns which."""
        taken = self.take(most)
        self.end(taken, how, worker)
        return [delivery.run_id for delivery in taken]

    def something(self, dice: random.Random, known: list[str]) -> None:
        """One random thing of all that happens to runs; new runs are added to those that are known."""
        some = dice.sample(known, min(len(known), dice.randint(1, 5)))
        what = dice.randrange(10)
        if what <= 3:
            extras = {"d": 600_000} if dice.random() < 0.1 else {}
            known += self.submit_many(
                dice.randint(1, 20),
                dice.choice(("shop.pay", "shop.post", "mail.send")),
                dice.choice(self.queues),
                tags=tuple(dice.sample(("red", "green", "blue"), dice.randint(0, 2))),
                flow=dice.choice((None, "flow-1", "flow-2")),
                **extras,
            )
        elif what <= 6:
            how = dice.choice((AckKind.COMPLETED, AckKind.COMPLETED, AckKind.FAILED, AckKind.CRASHED, AckKind.DEAD))
            self.run(how, dice.randint(1, 15), dice.choice(("ann", "bob", "")))
        elif what == 7:
            taken = self.take(3)
            self.broker.deliveries.started([(delivery.ticket, delivery.run_id) for delivery in taken])
            self.end(taken, AckKind.RETRY)
            self.broker.runs.move_due()
        elif what == 8:
            self.broker.runs.cancel(some) if dice.random() < 0.5 else self.broker.runs.replay(some)
        else:
            self.broker.runs.delete(some)
