"""``send.lua`` writes for a plain call what ``submit.lua`` writes: compared key by key, as they lie on the server."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from brokers.messages import Envelope
from brokers.redis.broker import RedisBroker
from brokers.redis.scripts import load
from brokers.redis.transport.connection import Wires
from brokers.schema import JournalField, QueueEntryField, RecordField
from orchestrator.runs.run_ids import new_run_id

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
        assert kind == "set", key
        return sorted(ask("SMEMBERS", key))

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
