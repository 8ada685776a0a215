"""The broker's verbs in the words of the contract suite, and what must be true when everything has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brokers.contract import SETTLED, Delivery, Ending, Envelope, Record, Settlement
from brokers.redis.broker import RedisBroker
from brokers.redis.keys import routes_of
from orchestrator.ids import new_run_id
from tests.support.waiting import wait_until

ROUTES = routes_of(["q"], "s")
TTL_MS = 60_000
KEPT = ("queues", "counts", "dead", "workers", "journal", "paused", "submitted")
"""Keys of a namespace without a time to live, by design; streams and ``expiring`` are looked at more closely."""


class Calls:
    """Submits, takes and ends calls of a namespace."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker = broker

    def envelope(
        self, run_id: str | None = None, *, route: str = "q:ds", body: bytes = b"body", reply_to: str | None = None,
        after: tuple[str, ...] = (), leniently_after: tuple[str, ...] = (), **extras: Any,
    ) -> Envelope:  # fmt: skip
        upstreams = [(run, False) for run in after] + [(run, True) for run in leniently_after]
        if upstreams:
            extras["r"] = upstreams
        return Envelope(run_id or new_run_id(), "app.task", route, body, None, reply_to, None, extras or None)

    def submit(self, run_id: str | None = None, **how: Any) -> str:
        """Submit one call; returns its run id."""
        return self.broker.submit([self.envelope(run_id, **how)])[0]

    def submit_many(self, count: int, **how: Any) -> list[str]:
        return self.broker.submit([self.envelope(**how) for _ in range(count)])

    def take(self, want: int = 100, consumer: str = "worker", routes: list[str] = ROUTES) -> list[Delivery]:
        """The calls that a worker gets now."""
        return self.broker.fetch(consumer, routes, want)[0]

    def take_one(self, consumer: str = "worker", routes: list[str] = ROUTES) -> Delivery:
        """The call that a worker gets now; there must be one."""
        (delivery,) = self.take(1, consumer, routes)
        return delivery

    def wait_for_one(self, consumer: str = "worker") -> Delivery:
        """The next call, which may come a little later."""
        taken: list[Delivery] = []
        wait_until(lambda: taken or taken.extend(self.take(1, consumer)) or taken, message="a call comes")
        return taken[0]

    def settlement(
        self, delivery: Delivery, how: str = Ending.COMPLETED, outcome: bytes = b"result", **more: Any
    ) -> Settlement:
        return Settlement(delivery.ticket, delivery.run_id, how, outcome, more.pop("ttl_ms", TTL_MS), **more)

    def end(self, delivery: Delivery, how: str = Ending.COMPLETED, outcome: bytes = b"result", **more: Any) -> bool:
        """End a delivery; whether that counted."""
        return not self.broker.complete("worker", [self.settlement(delivery, how, outcome, **more)])

    def run_all(self, how: str = Ending.COMPLETED) -> list[str]:
        """Take and end calls until there are none; returns their run ids in that order."""
        ended: list[str] = []
        while taken := self.take():
            assert all(self.end(delivery, how) for delivery in taken)
            ended += [delivery.run_id for delivery in taken]
        return ended

    def move_until(self, condition: Callable[[], object]) -> None:
        """Do the mover's work until something is so."""

        def moved() -> object:
            self.broker.move()
            return condition()

        wait_until(moved)

    def record(self, run_id: str) -> Record:
        return self.broker.read([run_id])[0]

    def status(self, run_id: str) -> bytes:
        return self.record(run_id).status

    def text(self, run_id: str) -> str:
        """The sentence of a script that ended a run by itself."""
        outcome = self.record(run_id).outcome
        assert outcome is not None
        assert outcome[:1] == b"\0"
        return outcome[1:].decode()

    def command(self, *parts: Any) -> Any:
        """A plain command to the server."""
        return self.broker.wires.commands([parts])[0]


def assert_nothing_left(broker: RedisBroker) -> None:
    """Every run has ended, nobody holds or waits for anything, and all that remains will vanish by itself."""

    def ask(*parts: Any) -> Any:
        return broker.wires.commands([parts])[0]

    prefix = broker.keys.prefix
    looks: dict[str, Callable[[str], object]] = {
        "q": lambda key: (ask("XLEN", key), _pending(ask, key)) == (0, 0),
        "r": lambda key: ask("HGET", key, "s") in SETTLED and ask("PTTL", key) > 0,
        "expiring": lambda key: all(
            ask("HGET", broker.keys.record(run_id.decode()), "s") in SETTLED for run_id in ask("ZRANGE", key, 0, -1)
        ),
    }
    for found in ask("KEYS", "*"):
        key = found.decode()
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if name not in KEPT:
            fine = looks.get(name.split(":", 1)[0], lambda key: ask("PTTL", key) > 0)
            assert fine(key) or not ask("EXISTS", key), f"{key} is left: {ask('TYPE', key)}, ttl {ask('PTTL', key)} ms"


def _pending(ask: Callable[..., Any], stream: str) -> int:
    groups = ask("XINFO", "GROUPS", stream)
    return sum(group[group.index(b"pending") + 1] for group in groups)
