"""Whatever stands in the store may have been damaged: it costs what it describes, and everything else goes on.

A namespace with something of each kind is damaged field by field and key by key. After each damage every verb is used,
everything is read, and a call goes its whole way; then the key is put back as it was. `make test` puts one of the
strange values into each place, and another one into the next; `make test-all` puts all of them into each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import msgpack
import pytest

from brokers.errors import BrokerRefused
from brokers.messages import FINAL_STATUSES, Ack, AckKind, Status
from brokers.records import ExternalRun
from brokers.redis.broker import RedisBroker
from brokers.schema import Reason
from orchestrator.client.fleet import Fleet
from orchestrator.inspection import (
    Redaction,
    RunFilter,
    detail_of,
    parameter_names,
    queues_of,
    views_of,
    walk_runs,
    workers_of,
)
from orchestrator.settings import Settings
from tests.conftest import program_or_skip
from tests.support.carriage import Calls
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

VALUES = (b"a b", b"\xff\xfe", b"-1")


VALUE = object()
ADDING: dict[bytes, tuple[Any, ...]] = {
    b"string": ("SET", VALUE),
    b"list": ("LSET", 0, VALUE),
    b"set": ("SADD", VALUE),
    b"zset": ("ZADD", "-inf", VALUE),
    b"stream": ("XADD", "*", VALUE, VALUE),
}


@pytest.fixture(scope="session")
def server_program() -> Path:
    """One of the servers: what a damaged value does to the scripts is the same on all."""
    return program_or_skip("embedded")


@pytest.fixture
def fleet(broker: RedisBroker, server: ServerProcess, namespace: str) -> Iterator[Fleet]:
    made = Fleet(Settings(redis_url=server.url_for(namespace), namespace=namespace, command_timeout_seconds=10))
    yield made
    made.close()


class Furnished:
    """A namespace that holds something of each kind."""

    def __init__(self, calls: Calls, fleet: Fleet) -> None:
        self.calls, self.fleet, self.broker = calls, fleet, fleet.broker
        self.runs: dict[str, str] = {}
        broker = self.broker
        broker.consumers.beat(["there", "worker"], 60)
        broker.consumers.describe("there", {"queues": "q", "pid": "1", "started": "2026-01-01T00:00:00+00:00"}, 60)
        broker.inboxes.expect([], "inbox")
        runs = self.runs
        runs["ended"], runs["failed"], runs["dead"], runs["running"], runs["held"] = calls.submit_many(5)
        ended, failed, dead, running, _ = calls.take(5, "there")
        calls.end(ended)
        calls.end(failed, AckKind.FAILED)
        calls.end(dead, AckKind.DEAD)
        broker.deliveries.started([(running.ticket, running.run_id)])
        in_block = calls.submit_map(8, reply_to="inbox")
        runs |= {f"in a block {place}": run_id for place, run_id in enumerate(in_block)}
        taken = calls.take(6, "there")
        broker.deliveries.complete("there", [calls.ack(delivery) for delivery in taken[:2]])
        broker.deliveries.started([(taken[3].ticket, taken[3].run_id)])
        runs["behind a block"] = calls.submit(after=tuple(in_block[4:6]), u=msgpack.packb(in_block[4:6]))
        broker.logs.note_progress([(running.run_id, running.ticket, msgpack.packb([1, 2, None, 3.0]))])
        broker.logs.append({runs["ended"]: [msgpack.packb([1.0, "INFO", "a line"])]}, 10)
        runs["delayed"] = calls.submit(d=3_600_000)
        runs["retrying"] = calls.submit()
        calls.end(calls.take_one("there"), AckKind.RETRY, delay_ms=3_600_000)
        runs["unknown"] = calls.submit()
        calls.end(calls.take_one("there"), AckKind.UNKNOWN, delay_ms=3_600_000, behind="nobody knows it")
        runs["holding"], runs["limited"] = calls.submit_many(2, l="db|1")
        calls.take(2, "there")
        broker.documents.write("limit", "db", {"limit": "1", "active": "1", "decay": "0.5"})
        broker.documents.write("limit", "slow", {"limit": "5", "decay": "0.001"})
        broker.limits.acquire("lease", ["slow"], 2, 3600)
        broker.limits.acquire("waits", ["slow", "db"], 1, 3600)
        broker.limits.book("turn", ["slow"], 1, None)
        runs["admitted"] = calls.submit(l="deployment:d|1\npool:p|", C="deployment:d|1|C")
        calls.take(1, "there")
        runs["booked"] = calls.submit_many(2, g="mail|3600000|0")[1]
        calls.take(2, "there")
        runs["parked"] = calls.submit(after=(runs["delayed"],), u=msgpack.packb([runs["delayed"], runs["ended"]]))
        runs["once"] = calls.submit(i=["order", 50], x=3_600_000, d=3_600_000)
        broker.external_runs.begin([ExternalRun("away-1", "their.task")], 60)
        broker.queues.pause("elsewhere")
        broker.cache.put("key", b"value", 60)
        broker.cache.lock("key", "somebody", 60)
        broker.flow_runs.write("flow-1", {"flow": "f", "type": "RUNNING", "runs": "1"})
        broker.flow_runs.note([("flow-2", {"flow": "f", "type": "RUNNING"}, True)])
        facts = ["flow", "f", "type", "SCHEDULED", "deployment", "nightly", "parent", "flow-2", "with_parent", "1"]
        runs["deployed"] = calls.submit(F=facts, T=86_400_000, d=3_600_000)
        broker.flow_runs.note([("flow-3", {"flow": "f", "type": "CRASHED"}, False)])
        facts = ["flow", "f", "type", "SCHEDULED", "deployment", "hourly", "parent", "flow-3", "with_parent", "1"]
        runs["orphan"] = calls.submit(F=facts, T=86_400_000, d=3_600_000)
        broker.documents.write("deployment", "nightly", {"d": b"\x80"}, name="f/nightly")
        calls.command("ZADD", broker.keys.prefix + "releasing", 1, msgpack.packb(["gone", "C", 1000]))
        calls.submit()

    def dumped(self) -> dict[bytes, bytes]:
        """Every key of the namespace."""
        keys = sorted(self.calls.command("KEYS", self.broker.keys.prefix + "*"))
        return dict(zip(keys, self.broker.wires.commands([("DUMP", key) for key in keys]), strict=True))

    def look_at_everything(self) -> None:
        """Whatever reads; nothing may be raised."""
        broker, fleet, runs = self.broker, self.fleet, list(self.runs.values())
        journal = broker.journal
        journal.after()
        journal.backwards()
        broker.records.rows(runs, 1000)
        broker.records.read(runs)
        broker.logs.read_progress(runs)
        broker.inboxes.expect(runs, "inbox")
        for reads in (
            broker.figures.ended,
            broker.figures.submitted,
            broker.dead_letters.newest,
            broker.figures.queues,
        ):
            reads()  # type: ignore[operator]
        broker.figures.consumers(60)
        broker.consumers.alive(60)
        broker.queues.backlog(["q"])
        broker.deliveries.pending("there", ["q:ds"])
        broker.flow_runs.read("flow-1")
        broker.flow_runs.listed()
        broker.flow_runs.listed("nightly")
        broker.queues.paused()
        broker.dead_letters.count()
        broker.documents.read("deployment", [*broker.documents.newest("deployment")[1], "nightly"])
        broker.documents.find("deployment", ["f/nightly"])
        broker.documents.audit()
        broker.limits.use(["db", "slow", "deployment:d"])
        broker.records.places(runs)
        broker.records.standings(runs)
        views_of(fleet, runs)
        for run_id in runs:
            fleet.latest_state(run_id)
            detail_of(fleet, run_id, Redaction(()))
        workers_of(fleet)
        parameter_names(fleet)
        queues_of(fleet)
        walk_runs(fleet, RunFilter(), limit=50)
        fleet.logs.read(self.runs["ended"])
        fleet.logs.progress_of(runs)
        fleet.live_workers()
        broker.queues.unknown_tasks()

    def work(self) -> None:
        """The chores, and a call that goes its whole way."""
        broker, calls = self.broker, self.calls
        broker.consumers.beat(["there", "worker"], 60)
        broker.runs.move_due()
        broker.consumers.tidy(60, 3600)
        broker.health.is_reachable()
        broker.runs.cancel(["nobody"])
        broker.inboxes.is_listening("inbox")
        broker.queues.adopt([("q", "app.task"), ("q", "another")])
        broker.documents.write("deployment", "nightly", {"d": b"\x80"}, name="f/nightly")
        broker.documents.touch("deployment", ["nightly"], "st")
        assert broker.documents.find("deployment", ["f/nightly"]) == ["nightly"]
        broker.limits.renew({"lease": 3600})
        assert broker.limits.acquire("well", ["nobody's"], 1, 60).how == "held"
        broker.documents.write("limit", "another", {"limit": "5"})
        healthy = calls.submit()
        second = calls.submit(after=(healthy,), u=msgpack.packb([healthy]))
        limited = calls.submit(l="another|1", g="another|0.001|0", i=["another", 50])
        for _ in range(20):
            for delivery in calls.take(50, "worker"):
                calls.end(delivery)
            if all(record.status in FINAL_STATUSES for record in broker.records.read([healthy, second, limited])):
                break
            broker.runs.move_due()
        assert [record.status for record in broker.records.read([healthy, second, limited])] == [Status.COMPLETED] * 3
        assert broker.runs.delete([healthy, second, limited]) == [healthy, second, limited]

    def use_the_run(self, run_id: str) -> None:
        """Everything that is done to runs, done to one that may be damaged beside one that is well."""
        broker, calls = self.broker, self.calls
        well, ended = calls.submit(), calls.submit()
        calls.end(next(d for d in calls.take(50, "worker") if d.run_id == ended), AckKind.FAILED)
        assert ended in broker.runs.replay([run_id, ended])
        broker.deliveries.complete("there", [Ack(f"q:ds {n}-0", run_id, AckKind.RETRY, b"", 1000) for n in (1, 2)])
        broker.deliveries.started([("q:ds 1-0", run_id)])
        broker.logs.note_progress([(run_id, "q:ds 1-0", b"x")])
        assert broker.runs.cancel([run_id, well, ended], "no")[1:] != [Status.UNKNOWN] * 2
        broker.deliveries.take_over("worker")
        assert {record.status for record in broker.records.read([well, ended])} == {Status.CANCELLED}
        broker.runs.delete([run_id, well, ended])


@pytest.fixture
def furnished(calls: Calls, fleet: Fleet) -> Furnished:
    return Furnished(calls, fleet)


def damages(
    ask: Callable[..., Any], key: bytes, values: Iterator[tuple[bytes, ...]]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Ways of damaging a key: its fields or members, one by one, and the whole of it; with the next of the values."""
    kind = ask("TYPE", key)
    if kind == b"hash":
        for field in sorted(ask("HKEYS", key)):
            for value in next(values):
                yield f"{field!r} = {value!r}", lambda field=field, value=value: ask("HSET", key, field, value)  # type: ignore[misc]
        yield "a strange field", lambda: ask("HSET", key, b"\xff\xfe", b"\xff")
    for value in next(values):
        if kind in ADDING:
            command, *words = [value if word == VALUE else word for word in ADDING[kind]]
            yield f"{kind!r} with {value!r}", lambda parts=(command, key, *words): ask(*parts)  # type: ignore[misc]
    if kind == b"stream":
        for field in ("e", "s", "f", "o", "c", "i", "h"):
            for value in (b"\xc1", msgpack.packb({"a": 1}), msgpack.packb([1, 2, 3]), msgpack.packb([b"\xff", b"zz"])):
                yield (
                    f"an entry {field} {value!r}",
                    lambda field=field, value=value: ask("XADD", key, "*", field, value),
                )  # type: ignore[misc]
    if b"}:q:" in key:
        return  # nothing can be queued there then: see below
    yield (
        "another type",
        lambda: (ask("DEL", key), ask("HSET", key, "a", "b") if kind != b"hash" else ask("SET", key, "x")),
    )


@pytest.mark.timeout(400)
def test_a_damaged_value_costs_only_what_it_describes(furnished: Furnished, thorough: bool) -> None:
    ask = furnished.calls.command
    furnished.look_at_everything()
    furnished.work()
    troubles: list[str] = []
    whole = furnished.dumped()
    restore = [("RESTORE", name, 0, dump, "REPLACE") for name, dump in whole.items()]
    named = {value: name for name, value in furnished.runs.items()}
    values = cycle([VALUES] if thorough else [(value,) for value in VALUES])
    tried = 0
    for key in whole:
        run_id = key.rpartition(b":r:")[2].decode()
        steps = [furnished.look_at_everything, furnished.work]
        if run_id in named:
            steps.append(lambda run_id=run_id: furnished.use_the_run(run_id))  # type: ignore[misc]
        for what, damage in damages(ask, key, values):
            tried += 1
            for step in steps:
                damage()
                try:
                    step()
                except Exception as error:
                    troubles.append(f"{key!r} {what}: {type(error).__name__} {error!s:.300}")
                furnished.broker.wires.commands(restore)
    assert tried > 300
    assert not troubles, f"{len(troubles)} of {tried}:\n" + "\n".join(troubles[:60])


def test_what_cannot_be_queued_is_refused_and_nothing_of_it_is_written(calls: Calls, broker: RedisBroker) -> None:
    calls.command("SET", broker.keys.stream("broken:ds"), "x")
    before = sorted(calls.command("KEYS", broker.keys.prefix + "*"))
    plain, special = calls.envelope(route="broken:ds"), calls.envelope(route="broken:ds", y="2")
    with pytest.raises(BrokerRefused, match="WRONGTYPE"):
        broker.runs.submit([plain])
    assert sorted(calls.command("KEYS", broker.keys.prefix + "*")) == before
    with pytest.raises(BrokerRefused, match="WRONGTYPE"):
        broker.runs.submit([calls.envelope(), special])
    assert sorted(calls.command("KEYS", broker.keys.prefix + "*")) == before
    fine = calls.submit()
    assert [delivery.run_id for delivery in calls.take(routes=["broken:ds", "q:ds"])] == [fine]


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_a_counter_that_is_no_number_begins_anew(calls: Calls, broker: RedisBroker, many: bool) -> None:
    calls.command("HSET", broker.keys.submitted, "q:app.task", "x")
    calls.command("HSET", broker.keys.counts, "C:app.task", "x")
    runs = calls.submit_many(2) if many else [calls.submit()]
    assert calls.run_all() == runs
    assert broker.figures.submitted() == {("app.task", "q"): len(runs)}
    assert broker.figures.ended() == {("app.task", b"C"): len(runs)}


def test_a_damaged_message_does_not_take_the_others_with_it(calls: Calls, broker: RedisBroker) -> None:
    settled: list[str] = []
    gaps: list[bool] = []
    inbox = broker.inboxes.inbox(
        "reader",
        on_settled=lambda ends: settled.extend(run_id for run_id, _, _ in ends),
        on_gap=lambda: gaps.append(True),
    )
    broker.inboxes.expect([], "reader")
    runs = calls.submit_many(2, reply_to="reader")
    for delivery in calls.take():
        calls.command("XADD", broker.keys.inbox("reader"), "*", "o", b"\xc1garbage")
        calls.end(delivery)
        calls.command("XADD", broker.keys.inbox("reader"), "*", "o", msgpack.packb([b"\xff", b"zz", 1]))
    inbox.start()
    wait_until(lambda: sorted(settled) == sorted(runs), message="both ends are told")
    wait_until(lambda: gaps, message="what the damaged ones told is asked for")
    inbox.stop()


def test_a_damaged_run_is_a_dead_letter_that_says_so(calls: Calls, broker: RedisBroker) -> None:
    first, second, third = calls.submit_many(3)
    calls.command("HSET", broker.keys.record(first), "a", "x")
    assert [delivery.run_id for delivery in calls.take()] == [second, third]
    assert calls.status(first) == Status.CRASHED
    assert "its record is damaged: " in calls.text(first)
    assert calls.reason(first) == Reason.DAMAGED
    parked = calls.submit(after=(second, third))
    calls.command("HSET", broker.keys.record(parked), "n", "x")
    calls.command("HSET", broker.keys.record(third), "s", "R")
    broker.deliveries.complete(
        "worker",
        [
            Ack(f"{ticket}", run, "C", b"", 9000)
            for ticket, run in broker.deliveries.pending("worker", ["q:ds"]).items()
        ],
    )
    assert calls.status(second) == calls.status(third) == Status.COMPLETED
    assert (calls.status(parked), broker.dead_letters.newest()) == (Status.CRASHED, [parked, first])
