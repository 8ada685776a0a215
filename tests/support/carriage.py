"""The broker's verbs in the words of the contract suite, and what must be true when everything has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from brokers.messages import FINAL_STATUSES, Ack, AckKind, Delivery, Envelope, Record, routes_of
from brokers.redis.broker import RedisBroker
from brokers.schema import ScriptedEnd
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from tests.support.waiting import wait_until

ROUTES = routes_of(["q"], "s")
TTL_MS = 60_000
KEPT = (
    "queues", "counts", "dead", "workers", "block_readers", "chain_readers", "range_readers", "journal", "paused",
    "submitted", "limited", "audit", "due", "ticker", "evt", "reactor", "late", "ready", "announced",
    "tickets", "speeds",
)  # fmt: skip
"""Keys of a namespace without a time to live, by design; streams and ``expiring`` are looked at more closely."""
NEVER_EXPIRE = ("doc:", "docs:", "docname:", "sched", "fired:")
"""How the keys begin of what people define."""


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
        return self.broker.runs.submit([self.envelope(run_id, **how)])[0]

    def submit_many(self, count: int, **how: Any) -> list[str]:
        return self.broker.runs.submit([self.envelope(**how) for _ in range(count)])

    def submit_map(self, count: int, **how: Any) -> list[str]:
        """Submit calls that are kept together: a block for each 128 of them."""
        return self.broker.runs.submit([self.envelope(run_id, **how) for run_id in new_map_run_ids(count)])

    def take(self, want: int = 100, consumer: str = "worker", routes: list[str] = ROUTES) -> list[Delivery]:
        """The calls that a worker gets now."""
        return self.broker.deliveries.fetch(consumer, routes, want)[0]

    def take_one(self, consumer: str = "worker", routes: list[str] = ROUTES) -> Delivery:
        """The call that a worker gets now; there must be one."""
        (delivery,) = self.take(1, consumer, routes)
        return delivery

    def wait_for_one(self, consumer: str = "worker") -> Delivery:
        """The next call, which may come a little later."""
        taken: list[Delivery] = []
        wait_until(lambda: taken or taken.extend(self.take(1, consumer)) or taken, message="a call comes")
        return taken[0]

    def ack(self, delivery: Delivery, how: str = AckKind.COMPLETED, outcome: bytes = b"result", **more: Any) -> Ack:
        return Ack(delivery.ticket, delivery.run_id, how, outcome, more.pop("ttl_ms", TTL_MS), **more)

    def end(self, delivery: Delivery, how: str = AckKind.COMPLETED, outcome: bytes = b"result", **more: Any) -> bool:
        """End a delivery; whether that counted."""
        return not self.broker.deliveries.complete("worker", [self.ack(delivery, how, outcome, **more)])

    def run_all(self, how: str = AckKind.COMPLETED) -> list[str]:
        """Take and end calls until there are none; returns their run ids in that order."""
        ended: list[str] = []
        while taken := self.take():
            assert all(self.end(delivery, how) for delivery in taken)
            ended += [delivery.run_id for delivery in taken]
        return ended

    def move_until(self, condition: Callable[[], object]) -> None:
        """Do the mover's work until something is so."""

        def moved() -> object:
            self.broker.runs.move_due()
            return condition()

        wait_until(moved)

    def record(self, run_id: str) -> Record:
        return self.broker.records.read([run_id])[0]

    def status(self, run_id: str) -> bytes:
        return self.record(run_id).status

    def text(self, run_id: str) -> str:
        """The sentence of a script that ended a run by itself."""
        outcome = self.record(run_id).outcome
        end = ScriptedEnd.unpack(outcome)
        assert end is not None
        return end.text

    def reason(self, run_id: str) -> str:
        """Why a script ended a run by itself."""
        end = ScriptedEnd.unpack(self.record(run_id).outcome)
        assert end is not None
        return end.reason

    def command(self, *parts: Any) -> Any:
        """A plain command to the server."""
        return self.broker.wires.commands([parts])[0]


NO_EXPIRY: Final = -1  # what PTTL says of a key that stays


def assert_nothing_left(broker: RedisBroker) -> None:
    """Every run has ended, nobody holds or waits for anything, and all that remains will vanish by itself."""

    def ask(*parts: Any) -> Any:
        return broker.wires.commands([parts])[0]

    def vanishes(key: str) -> bool:
        """It has a time to live, of which 0 ms may be left, or is gone."""
        return ask("PTTL", key) != NO_EXPIRY

    prefix = broker.keys.prefix
    looks: dict[str, Callable[[str], object]] = {
        "q": lambda key: (ask("XLEN", key), _pending(ask, key)) == (0, 0),
        "r": lambda key: ask("HGET", key, "s") in FINAL_STATUSES and vanishes(key),
        "outbox": lambda key: ask("XLEN", key) == 0,
        "range_outbox": lambda key: ask("XLEN", key) == 0,
        "carried": lambda key: {b"0"}.issuperset(ask("HVALS", key)),
        "expiring": lambda key: all(
            ask("HGET", broker.keys.record(run_id.decode()), "s") in FINAL_STATUSES
            for run_id in ask("ZRANGE", key, 0, -1)
        ),
    }
    for found in ask("KEYS", "*"):
        key = found.decode()
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if name not in KEPT and not name.startswith(NEVER_EXPIRE):
            fine = looks.get(name.split(":", 1)[0], vanishes)
            assert fine(key) or not ask("EXISTS", key), f"{key} is left: {ask('TYPE', key)}, ttl {ask('PTTL', key)} ms"


def _pending(ask: Callable[..., Any], stream: str) -> int:
    groups = ask("XINFO", "GROUPS", stream)
    return sum(group[group.index(b"pending") + 1] for group in groups)
