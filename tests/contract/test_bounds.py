"""What the store keeps is bounded: by counts, structure by structure. ``make soak`` watches it under load."""

from __future__ import annotations

import msgpack
import pytest

from brokers.messages import AckKind
from brokers.redis.broker import RedisBroker
from brokers.redis.consumers import JOURNAL_PORTION
from chaos.soak import FEW, Sample, growing, left
from tests.support.carriage import Calls, assert_nothing_left
from tests.support.waiting import wait_until

OLD = 3 * JOURNAL_PORTION
NODE = 101  # entries that a stream keeps together, and drops together


def size(calls: Calls, key: str) -> int:
    commands = {
        b"zset": "ZCARD",
        b"stream": "XLEN",
        b"list": "LLEN",
        b"hash": "HLEN",
        b"set": "SCARD",
        b"none": "EXISTS",
    }
    return int(calls.command(commands[calls.command("TYPE", key)], key))


def test_the_janitor_trims_the_journal_however_much_is_old(calls: Calls, broker: RedisBroker) -> None:
    key = broker.keys.journal
    for first in range(1, OLD, 1000):
        broker.wires.commands([("XADD", key, f"{at}-1", "e", "") for at in range(first, first + 1000)])
    calls.submit()
    assert size(calls, key) == OLD + 1
    broker.consumers.tidy(60, 60)
    assert size(calls, key) <= NODE


def test_the_list_of_expiries_holds_what_has_not_ended(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(50, x=30 * 86_400_000)
    assert size(calls, broker.keys.prefix + "expiring") == 50
    calls.run_all()
    assert size(calls, broker.keys.prefix + "expiring") == 0


def test_logs_keep_their_last_lines_and_expire(calls: Calls, broker: RedisBroker) -> None:
    for _ in range(5):
        broker.logs.append({"run": [b"line"] * 30}, keep=40)
    assert size(calls, broker.keys.log("run")) == 40
    assert calls.command("PTTL", broker.keys.log("run")) > 0


def test_dead_letters_leave_the_list_with_their_time(calls: Calls, broker: RedisBroker) -> None:
    calls.submit_many(3)
    calls.run_all(AckKind.DEAD)
    broker.consumers.tidy(60, 3600)
    assert size(calls, broker.keys.dead) == 3
    broker.consumers.tidy(60, -1)
    assert size(calls, broker.keys.dead) == 0


def test_an_inbox_is_emptied_by_its_reader_and_expires_without(calls: Calls, broker: RedisBroker) -> None:
    told: list[str] = []
    inbox = broker.inboxes.inbox("reader", on_settled=lambda ends: told.extend(run_id for run_id, _, _ in ends))
    broker.inboxes.expect([], "reader")
    for _ in range(120):  # one entry each
        calls.submit(reply_to="reader")
        calls.end(calls.take_one())
    key = broker.keys.inbox("reader")
    assert size(calls, key) == 121
    assert calls.command("PTTL", key) > 0
    inbox.start()
    wait_until(lambda: len(told) == 120, message="all ends are told")
    wait_until(lambda: size(calls, key) <= 2, message="what was read is dropped")
    inbox.stop()


def test_what_is_told_to_an_inbox_at_once_is_bounded(calls: Calls, broker: RedisBroker) -> None:
    broker.inboxes.expect([], "reader")
    calls.submit_many(100, reply_to="reader")
    deliveries = calls.take()
    broker.deliveries.complete("worker", [calls.ack(delivery, outcome=bytes(10_000)) for delivery in deliveries])
    _, (_, fields) = calls.command("XRANGE", broker.keys.inbox("reader"), "-", "+")
    assert len(fields[1]) < 200_000
    assert len(msgpack.unpackb(fields[1], raw=True)) == 300


def test_a_thousand_calls_of_every_kind_leave_nothing_that_stays(calls: Calls, broker: RedisBroker) -> None:
    upstreams = calls.submit_many(100)
    for number, upstream in enumerate(upstreams):
        calls.submit(i=[f"key-{number}", 50])
        calls.submit(l="door|5", x=86_400_000)
        calls.submit(g="mail|0.001|0")
        calls.submit(after=(upstream,), u=msgpack.packb([upstream]))
        calls.submit(leniently_after=(upstream,), d=1)
        broker.runs.cancel([calls.submit(d=86_400_000)])
    ended = 0
    while ended < 600:
        broker.runs.move_due()
        ended += len(calls.run_all())
    broker.consumers.tidy(60, 60)
    assert_nothing_left(broker)
    for name in ("delayed", "expiring", "releasing", "kept", "limit:door", "limit:door:waiting"):
        assert size(calls, broker.keys.prefix + name) == 0
    assert size(calls, broker.keys.counts) + size(calls, broker.keys.submitted) + size(calls, broker.keys.queues) <= 5


@pytest.mark.parametrize("name", ["r", "journal members", "memory"])
def test_the_soak_tells_what_grows_and_what_is_left(name: str) -> None:
    scale = 1 << 20 if name == "memory" else 1
    flat = [Sample(at, {name: scale * (1000 + at % 3)}) for at in range(40)]
    assert growing(flat) == []
    assert len(growing([Sample(at, {name: scale * (FEW + 50 * at)}) for at in range(40)])) == 1
    assert (left({name: 3}) == []) == (name != "r")
