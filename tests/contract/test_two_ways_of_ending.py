"""``done.lua`` writes for the end of a plain call what ``complete.lua`` writes, and does nothing for any other call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from brokers.messages import Ack, AckKind, Envelope
from brokers.redis.broker import RedisBroker
from brokers.redis.scripts import load
from brokers.redis.transport.connection import Wires
from brokers.schema import JournalField, RecordField
from orchestrator.runs.run_ids import new_run_id
from tests.contract.test_two_ways_of_sending import Stored, stored
from tests.support.carriage import TTL_MS, Calls

INBOXES = ("here", "there")


def run(broker: RedisBroker, script: str, acks: list[Ack]) -> Any:
    argument = msgpack.packb(acks, use_bin_type=False)
    return broker.wires.run((load(script), argument), prefix=broker.keys.prefix)[0]


def both_ways(wires: Wires, namespace: str, run_ids: list[str], **how: Any) -> list[Stored]:
    """What is stored after calls with these ids were taken and ended, by the short script and by the other one."""
    found = []
    for script, nothing in (("done", []), ("complete", msgpack.packb([]))):
        broker = RedisBroker(wires, f"{namespace}-{script}", result_ttl_seconds=60)
        calls = Calls(broker)
        for inbox in INBOXES:
            broker.inboxes.expect([], inbox)
        for run_id in run_ids:
            broker.runs.submit([Envelope(run_id, "app.task", "q:ds", b"body", "flow", "here there", b"\x80")])
        acks = [calls.ack(delivery, **how) for delivery in calls.take()]
        assert run(broker, script, acks) == nothing
        assert 0 < calls.command("PTTL", broker.keys.record(run_ids[0])) <= TTL_MS
        assert calls.command("XPENDING", broker.keys.stream("q:ds"), "w")[0] == 0
        found.append(stored(broker))
        for run_id in run_ids:
            del found[-1][f"r:{run_id}"][RecordField.TICKET.encode()]  # it tells the time
    return found


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"how": AckKind.FAILED, "outcome": b"why"},
        {"name": b"add-1"},
        {"drop_body": 1},
        {"outcome": b"x" * 16_384},
        {"outcome": b"x" * 16_385},
        {"outcome": b""},
    ],
    ids=str,
)
def test_both_write_the_same(wires: Wires, namespace: str, how: dict[str, Any], count: int) -> None:
    run_ids = [new_run_id() for _ in range(count)]
    short, whole = both_ways(wires, namespace, run_ids, **how)
    assert short == whole
    assert short["q:q:ds"] == []
    assert {f"in:{inbox}" for inbox in INBOXES} < set(short)
    assert [kind.decode() for kind, _ in short["journal"]] == [JournalField.SUBMITTED] * count + [JournalField.CHANGED]


def test_both_leave_outcomes_out_of_an_inbox_that_would_be_too_many(wires: Wires, namespace: str) -> None:
    run_ids = [new_run_id() for _ in range(12)]
    short, whole = both_ways(wires, namespace, run_ids, outcome=b"x" * 12_000)
    assert short == whole
    ((_, *_, packed),) = [short["in:here"][-1]]
    outcomes = msgpack.unpackb(packed, raw=True)[2::3]
    assert (outcomes[0], outcomes[-1]) == (b"x" * 12_000, b"")


def dumped(broker: RedisBroker) -> dict[bytes, Any]:
    """Everything in a namespace, as the server would give it to another one."""
    (keys,) = broker.wires.commands([("KEYS", "*")])
    ours = [key for key in keys if key.decode().startswith(broker.keys.prefix)]
    return dict(zip(ours, broker.wires.commands([("DUMP", key) for key in ours]), strict=True))


def dependant(calls: Calls, run_id: str) -> None:
    calls.submit(after=(run_id,))


def needed_result(calls: Calls, run_id: str) -> None:
    calls.submit(u=msgpack.packb([run_id]))


def ended(calls: Calls, run_id: str) -> None:
    calls.command("HSET", calls.broker.keys.record(run_id), "s", "C")


def given_to_another(calls: Calls, run_id: str) -> None:
    calls.broker.deliveries.take_over("worker")


def vanished(calls: Calls, run_id: str) -> None:
    calls.command("DEL", calls.broker.keys.record(run_id))


def damaged(calls: Calls, run_id: str) -> None:
    vanished(calls, run_id)
    calls.command("SET", calls.broker.keys.record(run_id), "?")


def in_a_transaction(calls: Calls, run_id: str) -> None:
    calls.command("SET", f"{calls.broker.keys.prefix}txn:{run_id}", "?")


def flow(calls: Calls, run_id: str) -> None:
    calls.command("HSET", calls.broker.keys.record(run_id), "t", "flow:app.nightly")


@pytest.mark.parametrize(
    "special", [dependant, needed_result, ended, given_to_another, vanished, damaged, in_a_transaction, flow]
)
def test_nothing_is_done_for_a_call_with_which_something_is(
    calls: Calls, broker: RedisBroker, special: Callable[[Calls, str], None]
) -> None:
    run_id, plain = calls.submit(), calls.submit()
    one, other = calls.take()
    special(calls, run_id)
    before = dumped(broker)
    assert run(broker, "done", [calls.ack(one)]) == [1]
    assert dumped(broker) == before
    calls.command("HSET", broker.keys.record(plain), "e", other.ticket, "s", "Q")  # where the others' lease ended, too
    assert run(broker, "done", [calls.ack(one), calls.ack(other), calls.ack(one)]) == [1, 3]
    assert calls.record(plain).status == b"C"


@pytest.mark.parametrize("extras", [{"l": "door|5"}, {"x": 60_000}, {"i": ("key", 0)}, {"S": "schedule"}], ids=str)
def test_nothing_is_done_for_a_call_that_was_sent_with_something_special(
    calls: Calls, broker: RedisBroker, extras: dict[str, Any]
) -> None:
    calls.submit(**extras)
    ack = calls.ack(calls.take_one())
    before = dumped(broker)
    assert run(broker, "done", [ack]) == [1]
    assert dumped(broker) == before
    assert broker.deliveries.complete("worker", [ack]) == []
    assert calls.record(ack.run_id).status == b"C"


def test_what_the_short_script_leaves_is_settled_and_refused_as_ever(calls: Calls, broker: RedisBroker) -> None:
    plain, awaited, lost = calls.submit_many(3)
    acks = [calls.ack(delivery) for delivery in calls.take()]
    behind = calls.submit(after=(awaited,))
    calls.command("DEL", broker.keys.record(lost))
    assert broker.deliveries.complete("worker", acks) == [lost]
    assert [calls.status(run_id) for run_id in (plain, awaited, behind)] == [b"C", b"C", b"Q"]


def test_what_counts_and_lists_begins_anew_if_it_was_damaged(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    ack = calls.ack(calls.take_one())
    for key in ("journal", "counts"):
        calls.command("DEL", f"{broker.keys.prefix}{key}")
    calls.command("SET", broker.keys.journal, "?")
    calls.command("HSET", broker.keys.counts, "C:app.task", "many")
    assert run(broker, "done", [ack]) == []
    assert calls.command("XLEN", broker.keys.journal) == 1
    assert calls.command("HGET", broker.keys.counts, "C:app.task") == b"1"
    assert calls.status(run_id) == b"C"
