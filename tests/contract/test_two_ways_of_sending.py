"""``send.lua`` and ``send_block.lua`` write for plain calls what ``submit.lua`` writes: compared key by key."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from brokers.framed_calls import FramedCalls
from brokers.messages import Envelope
from brokers.redis.blocks import in_blocks
from brokers.redis.broker import RedisBroker
from brokers.redis.scripts import load
from brokers.redis.transport.connection import Wires
from brokers.schema import JournalField, QueueEntryField, RecordField
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id

COPIED = {
    QueueEntryField.TASK: RecordField.TASK,
    QueueEntryField.BODY: RecordField.BODY,
    QueueEntryField.FLOW_RUN: RecordField.FLOW_RUN,
    QueueEntryField.META: RecordField.META,
}
Stored = dict[str, Any]


def stored(broker: RedisBroker) -> Stored:
    """Everything in a namespace by key; entries of streams without their ids, which tell the time."""

    def ask(*parts: Any) -> Any:
        return broker.wires.commands([parts])[0]

    def value(key: bytes) -> Any:
        kind = ask("TYPE", key).decode()
        if kind == "stream":
            return [fields for _, fields in ask("XRANGE", key, "-", "+")]
        if kind == "hash":
            row = ask("HGETALL", key)
            return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
        if kind == "set":
            return sorted(ask("SMEMBERS", key))
        return ask("ZRANGE", key, "0", "-1") if kind == "zset" else ask("GET", key)

    prefix = broker.keys.prefix
    found = [key for key in ask("KEYS", "*") if key.decode().startswith(prefix)]
    return {key.decode().removeprefix(prefix): value(key) for key in found}


def both_ways(wires: Wires, namespace: str, envelope: Envelope, paused: bool = False) -> tuple[Stored, Stored]:
    short, whole = (RedisBroker(wires, f"{namespace}-{way}", result_ttl_seconds=60) for way in ("short", "whole"))
    for broker in (short, whole):
        if paused:
            wires.commands([("SADD", broker.keys.paused, envelope.route[:-3])])
    for _ in range(2):  # the second changes nothing
        assert short.runs.submit([envelope]) == [envelope.run_id]
        wires.run((load("submit"), msgpack.packb([0, [envelope]], use_bin_type=False)), prefix=whole.keys.prefix)
    return stored(short), stored(whole)


CALLS = {
    "nothing more": Envelope(new_run_id(), "app.task", "q:ds", b"body"),
    "a meta, as most have": Envelope(new_run_id(), "app.task", "q:ds", b"body", None, None, b"\x81\xa1g\x90"),
    "an id of another length": Envelope("order-17", "app.task", "q:ds", b"body"),
    "all that a plain call may have": Envelope(
        new_run_id(), "app.task", "mail:ha", b"", "flow", "inbox", b"\x81\xa1g\x90"
    ),
    "a body of 512 bytes": Envelope(new_run_id(), "app.task", "q:ls", b"x" * 512),
    "a large body": Envelope(new_run_id(), "app.task", "q:ds", b"x" * 513, "flow", None, b"\x80"),
}


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("what", CALLS)
def test_both_write_the_same(what: str, paused: bool, wires: Wires, namespace: str) -> None:
    envelope = CALLS[what]
    short, whole = both_ways(wires, namespace, envelope, paused)
    record, queue = f"r:{envelope.run_id}", f"q:{envelope.route}"
    for keys in (short, whole):
        ticket = keys[record].pop(RecordField.TICKET.encode())
        assert ticket.decode().startswith(f"{envelope.route} ")
    (entry_of_send,) = short.pop(queue)
    first, copied = entry_of_send[:2], entry_of_send[2:]
    assert [first] == whole.pop(queue) == [[QueueEntryField.RUN.encode(), envelope.run_id.encode()]]
    assert short == whole
    assert set(short) == {record, "queues", "submitted", "journal"} | ({"paused"} if paused else set())
    ((kind, runs),) = short["journal"]
    assert (kind.decode(), msgpack.unpackb(runs)) == (JournalField.SUBMITTED, [envelope.run_id])
    if paused or len(envelope.body) > 512:
        assert copied == []
    else:  # a worker that waits gets it whole: what stands in the entry is what stands in the record
        assert dict(zip(copied[::2], copied[1::2], strict=True)) == {
            entry.encode(): short[record].get(field.encode(), b"") for entry, field in COPIED.items()
        }


# -- blocks ----------------------------------------------------------------------------------------------------------

FRAMES = {
    "nothing more": Envelope("", "app.task", "q:ds", b"", None, None, None),
    "all that they may have": Envelope("", "app.task", "mail:ha", b"", "flow", "inbox", b"\x81\xa1g\x90", {"y": "5"}),
}
DAMAGE = {
    "an older worker is alive": ("ZADD", "workers", "9e15", "older"),
    "workers are no set": ("SET", "workers", "x"),
    "what workers read is no set": ("SET", "block_readers", "x"),
    "the counter of calls in blocks is no hash": ("SET", "more", "x"),
    "the counter of calls is no number": ("HSET", "submitted", "q:app.task", "x"),
    "the journal is no stream": ("SET", "journal", "x"),
    "the queues are no set": ("SET", "queues", "x"),
}


def block(frame: Envelope, count: int) -> FramedCalls:
    return FramedCalls(frame, new_map_run_ids(count), [b"%d" % number for number in range(count)])


def whole_way(broker: RedisBroker, calls: FramedCalls) -> None:
    records, blocks, _ = in_blocks(calls)
    arguments = msgpack.packb([0, records, blocks], use_bin_type=False)
    broker.wires.run((load("submit"), arguments), prefix=broker.keys.prefix)


def without_times(keys: Stored) -> Stored:
    """Tickets, and the moment at which a block came, tell the time."""
    for name, value in keys.items():
        if isinstance(value, dict):
            ticket = value.pop(RecordField.TICKET.encode(), b"")
            assert not ticket or ticket.decode().startswith(value[RecordField.ROUTE.encode()].decode() + " ")
            if name.startswith("b:"):
                assert int(value.pop(b"a")) > 1_700_000_000_000
    return keys


@pytest.mark.parametrize("count", [4, 60, 128])
@pytest.mark.parametrize("what", FRAMES)
def test_both_write_the_same_block(what: str, count: int, wires: Wires, namespace: str) -> None:
    calls = block(FRAMES[what], count)
    short, whole = (RedisBroker(wires, f"{namespace}-{way}", result_ttl_seconds=60) for way in ("short", "whole"))
    for is_new in (True, False):  # the second changes nothing
        assert short.runs._wrote_block(calls) == is_new
        assert short.runs.submit(calls) == calls.run_ids
        whole_way(whole, calls)
    keys = without_times(stored(short))
    assert keys == without_times(stored(whole))
    (name,) = calls.run_ids.blocks
    route = calls.frame.route
    assert set(keys) == {f"b:{name}", f"r:{name}r000", f"q:{route}", "queues", "submitted", "journal", "more"}


@pytest.mark.parametrize("what", DAMAGE)
def test_beside_what_is_damaged_or_older_both_do_the_same(what: str, wires: Wires, namespace: str) -> None:
    calls = block(FRAMES["nothing more"], 4)
    short, whole = (RedisBroker(wires, f"{namespace}-{way}", result_ttl_seconds=60) for way in ("short", "whole"))
    command, key, *values = DAMAGE[what]
    for broker in (short, whole):
        wires.commands([(command, broker.keys.prefix + key, *values)])
    short.runs.submit(calls)
    whole_way(whole, calls)
    keys = without_times(stored(short))
    assert keys == without_times(stored(whole))
    is_a_block = any(name.startswith("b:") for name in keys)
    assert is_a_block == (what != "an older worker is alive")
