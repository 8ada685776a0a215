"""Whatever a script changes is an event of that script: it is there as soon as the change is, or neither is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from brokers.errors import BrokerConflict
from brokers.facets.events import StoredEvent
from brokers.facets.schedules import NEVER, PlannedRun, Tick
from brokers.messages import AckKind, Envelope
from brokers.redis.broker import RedisBroker
from brokers.redis.store import pack
from brokers.schema import DEPLOYMENT_CALL
from orchestrator.runs.run_ids import new_run_id, tick_run_id
from tests.support.carriage import Calls
from tests.support.servers import ServerProcess
from tests.support.waiting import wait_until

LONG_AGO = 1_000_000
SERVED = "s-0123456789ab"
WAITS_FOR_A_PLACE = 15.0  # seconds until it is looked at again
Change = Callable[[RedisBroker], object]


def found(broker: RedisBroker) -> list[StoredEvent]:
    return [event for _, some in broker.events.forwards() for event in some if event is not None]


def names(broker: RedisBroker) -> list[str]:
    return [event.name.removeprefix("prefect.") for event in found(broker)]


def payload(event: StoredEvent) -> Any:
    return json.loads(event.payload)


# -- definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "called"),
    [
        ("deployment", "deployment"),
        ("pool", "work-pool"),
        ("limit", "concurrency-limit"),
        ("variable", "variable"),
        ("block", "block-document"),
        ("blocktype", "block-type"),
        ("automation", "automation"),
        ("flow", "flow"),
    ],
)
def test_a_definition_is_created_updated_and_deleted(broker: RedisBroker, kind: str, called: str) -> None:
    broker.documents.write(kind, "an-id", {"limit": "1"}, name="a name")
    broker.documents.write(kind, "an-id", {"limit": "2"})
    broker.documents.write(kind, "an-id", {"limit": "2"})  # nothing has changed
    broker.documents.write(kind, "an-id", {}, drop=["limit"])
    broker.documents.delete(kind, ["an-id", "another"])
    assert names(broker) == [f"{called}.{what}" for what in ("created", "updated", "updated", "deleted")]
    labels = {"prefect.resource.id": f"prefect.{called}.an-id", "prefect.resource.name": "a name"}
    assert [event.resource for event in found(broker)] == [labels] * 4


def test_what_is_refused_or_of_another_kind_is_no_event(broker: RedisBroker) -> None:
    broker.documents.write("deployment-version", "an-id", {"x": "1"})
    broker.documents.write("pool", "an-id", {"x": "1"}, name="a name")
    for refused in ({"only_new": True}, {"expected": 7}):
        with pytest.raises(BrokerConflict):
            broker.documents.write("pool", "an-id", {"x": "2"}, **refused)
    assert names(broker) == ["work-pool.created"]


def test_a_pause_is_an_event_and_so_is_its_end(broker: RedisBroker) -> None:
    broker.documents.write("pool", "an-id", {"x": "1", "p": "0"})
    for paused in "1", "1", "0":
        broker.documents.write("pool", "an-id", {"x": "1", "p": paused})
    broker.documents.write("pool", "an-id", {"x": "2", "p": "1"})
    assert names(broker) == [
        "work-pool.created", "work-pool.paused", "work-pool.resumed", "work-pool.updated", "work-pool.paused",
    ]  # fmt: skip


def test_a_queue_is_paused_and_resumed(broker: RedisBroker) -> None:
    for verb in (broker.queues.pause, broker.queues.pause, broker.queues.resume, broker.queues.resume):
        verb("mail")
    assert names(broker) == ["work-queue.paused", "work-queue.resumed"]


def test_an_event_is_there_though_whoever_made_the_change_died_before_the_reply(
    broker: RedisBroker, server: ServerProcess
) -> None:
    broker.documents.write("pool", "an-id", {"x": "1"})  # the server knows the script
    script = broker.store.script("document_write")
    arguments = ["pool", "an-id", ["x", "2"], [], "", [-1, False], "a token", "me"]
    with server.client() as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("EVALSHA", script.sha, 1, broker.keys.prefix, pack(arguments))
        connection.disconnect()  # as the process that ends
    wait_until(lambda: names(broker) == ["work-pool.created", "work-pool.updated"])
    (document,) = broker.documents.read("pool", ["an-id"])
    assert document is not None
    assert document.fields["x"] == b"2"


# -- schedules ---------------------------------------------------------------------------------------------------------


def fire(broker: RedisBroker, missed: int = 0) -> str:
    run_id = tick_run_id("s", LONG_AGO)
    call = Envelope(run_id, "app.task", "q:ds", b"body", None, None, None, None)
    broker.ticks.tick([Tick("s", LONG_AGO, 1, NEVER, missed, 0, "allow", b"", [PlannedRun(LONG_AGO, 0, call)])], 1e9)
    return run_id


def test_a_schedule_fires_and_counts_what_was_missed(broker: RedisBroker) -> None:
    broker.schedules.write("s", {"o": "t:nightly", "a": "1"}, due_ms=LONG_AGO)
    run_id = fire(broker, missed=3)
    created, fired, missed = found(broker)
    assert (created.name, fired.name, missed.name) == (
        "prefect.schedule.created", "prefect.schedule.fired", "prefect.schedule.missed",
    )  # fmt: skip
    assert fired.resource == {"prefect.resource.id": "prefect.schedule.s", "prefect.resource.name": "nightly"}
    assert [labels["prefect.resource.id"] for labels in fired.related] == [f"prefect.task-run.{run_id}"]
    assert (payload(fired), payload(missed)) == ({"tick_ms": LONG_AGO}, {"ticks": 3})
    fire(broker)  # it has moved on
    assert len(found(broker)) == 3


def test_a_schedule_of_a_deployment_names_it(broker: RedisBroker) -> None:
    broker.documents.write("deployment", "d1", {"st": "9" * 13}, name="etl/nightly")
    broker.schedules.write("s", {"o": "d:d1", "a": "1"}, due_ms=LONG_AGO)
    run_id = fire(broker)
    fired = found(broker)[-1]
    assert [(labels["prefect.resource.role"], labels["prefect.resource.id"]) for labels in fired.related] == [
        ("deployment", "prefect.deployment.d1"),
        ("flow-run", f"prefect.flow-run.{run_id}"),
    ]
    assert fired.related[0]["prefect.resource.name"] == "etl/nightly"


def test_a_schedule_is_changed_paused_resumed_and_deleted(broker: RedisBroker) -> None:
    broker.schedules.write("s", {"o": "t:nightly", "a": "1"})
    broker.schedules.write("s", {"s": "spec"})
    broker.schedules.write("s", {"a": "0", "why": "by hand"}, what="paused")
    broker.schedules.write("s", {"a": "1"}, drop=["why"], what="resumed")
    broker.schedules.write("s", {}, what="resumed")  # its deployment was
    broker.schedules.delete(["s", "another"])
    assert names(broker) == [f"schedule.{what}" for what in ("created", "updated", "paused", "resumed", "deleted")]
    assert payload(found(broker)[2]) == {"reason": "by hand"}


def test_a_schedule_that_is_paused_by_its_failures_says_why(broker: RedisBroker, calls: Calls) -> None:
    broker.schedules.write("s", {"o": "t:nightly", "a": "1", "y": "1"})
    calls.submit(S="s")
    calls.end(calls.take_one(), AckKind.FAILED)
    paused = found(broker)[-1]
    assert paused.name == "prefect.schedule.paused"
    assert payload(paused) == {"reason": "1 runs in a row failed"}


# -- workers -----------------------------------------------------------------------------------------------------------


def watch(broker: RedisBroker, **seconds: float) -> bool:
    patience = {"every": 0.001, "lease": 3600.0, "late_after": 3600.0, "served_within": 3600.0} | seconds
    broker.wires.commands([("DEL", broker.keys.prefix + "watched")])  # whoever looked last is long ago
    return broker.events.watch(**{f"{name}_seconds": value for name, value in patience.items()})


def start_worker(broker: RedisBroker, name: str = "shop-1", queues: str = "q") -> None:
    for child in "ab":
        broker.consumers.beat([f"{name}.{child}"], 60)
        broker.consumers.describe(f"{name}.{child}", {"name": "shop", "queues": queues, "inbox": name}, 60)


def test_a_worker_starts_and_stops_once_however_many_processes_it_has(broker: RedisBroker) -> None:
    start_worker(broker)
    watch(broker)
    broker.deliveries.take_over("shop-1.a", charge_running=False)
    broker.deliveries.take_over("shop-1.b", charge_running=False)
    watch(broker)  # its processes are replaced
    start_worker(broker)
    broker.consumers.leave(["shop-1"])
    broker.consumers.leave(["shop-1.a"])
    assert names(broker) == ["worker.started", "worker.stopped"]
    labels = {"prefect.resource.id": "prefect.worker.shop-1", "prefect.resource.name": "shop"}
    assert [event.resource for event in found(broker)] == [labels] * 2


def test_a_worker_without_heartbeats_is_lost_once_and_starts_again_when_it_is_back(broker: RedisBroker) -> None:
    start_worker(broker)
    for _ in range(2):
        watch(broker, lease=-1)  # everything is longer ago
    start_worker(broker)
    assert names(broker) == ["worker.started", "worker.lost", "worker.started"]


def test_of_all_processes_one_looks_at_a_time(broker: RedisBroker) -> None:
    look = {"every_seconds": 60.0, "lease_seconds": 60.0, "late_after_seconds": 15.0, "served_within_seconds": 15.0}
    assert [broker.events.watch(**look) for _ in range(3)] == [True, False, False]


# -- pools and deployments ---------------------------------------------------------------------------------------------


def test_a_pool_is_ready_while_a_worker_reads_one_of_its_queues(broker: RedisBroker) -> None:
    queues = msgpack.packb({"default": "p-0123abcd-0", "fast": "p-0123abcd-1"})
    broker.documents.write("pool", "0123abcd-4567", {"queues": queues, "p": "0"}, name="big")
    watch(broker)
    start_worker(broker, queues="p-0123abcd-1")
    for _ in range(2):
        watch(broker)
    watch(broker, lease=-1)
    assert [name for name in names(broker) if name.startswith("work-pool")] == [
        "work-pool.created", "work-pool.ready", "work-pool.not-ready",
    ]  # fmt: skip


def test_a_pool_that_was_paused_is_ready_again_or_not(broker: RedisBroker) -> None:
    broker.documents.write("pool", "0123abcd-4567", {"queues": b"\xc1", "p": "0"}, name="big")  # damaged: default stays
    start_worker(broker, queues="p-0123abcd-0")
    watch(broker)
    for paused in "1", "0":
        broker.documents.write("pool", "0123abcd-4567", {"p": paused})
        watch(broker)
    of_pool = [name.partition(".")[2] for name in names(broker) if name.startswith("work-pool")]
    assert of_pool == ["created", "ready", "paused", "resumed", "ready"]


def test_a_deployment_is_ready_while_somebody_serves_it(broker: RedisBroker) -> None:
    broker.documents.write("deployment", "d1", {"p": "0"}, name="etl/nightly")
    for _ in range(2):
        broker.documents.touch("deployment", ["d1", "another"], "st")
    watch(broker)
    for _ in range(2):
        watch(broker, served_within=-1)
    broker.documents.touch("deployment", ["d1"], "st")
    assert names(broker) == [f"deployment.{what}" for what in ("created", "ready", "not-ready", "ready")]


# -- late runs ---------------------------------------------------------------------------------------------------------


def flow_call(broker: RedisBroker, expected: float, **extras: Any) -> str:
    fields = [
        "flow", "nightly", "type", "SCHEDULED", "state", "Scheduled", "deployment", "d1", "expected", str(expected),
    ]  # fmt: skip
    call = Envelope(
        new_run_id(), DEPLOYMENT_CALL, f"{SERVED}:ds", b"body", None, None, None, {"F": fields, "T": 60_000, **extras}
    )
    return broker.runs.submit([call])[0]


def states_of(broker: RedisBroker, run_id: str) -> list[str]:
    changes = broker.journal.after()[1]
    return [one.name or one.status.decode() for one in changes if one.of_flow and one.run_id == run_id]


def test_a_run_that_nobody_begins_is_late_once(broker: RedisBroker) -> None:
    run_id = flow_call(broker, 0)
    watch(broker)
    assert states_of(broker, run_id) == ["SCHEDULED"]
    for _ in range(3):
        watch(broker, late_after=-1)
    assert states_of(broker, run_id) == ["SCHEDULED", "Late"]


def test_what_somebody_has_or_has_cancelled_is_not_late(broker: RedisBroker, calls: Calls) -> None:
    taken, cancelled, later = flow_call(broker, 0), flow_call(broker, 0), flow_call(broker, 9e9)
    broker.runs.cancel([cancelled])
    calls.take(1, routes=[f"{SERVED}:ds"])
    watch(broker, late_after=-1)
    assert [states_of(broker, one)[-1] for one in (taken, cancelled, later)] == ["SCHEDULED", "CANCELLED", "SCHEDULED"]


def test_a_run_that_waits_for_a_place_is_late_only_when_it_still_waits_afterwards(
    broker: RedisBroker, calls: Calls
) -> None:
    holds, waits = flow_call(broker, 0, l="door|1"), flow_call(broker, 0, l="door|1")
    (delivery,) = calls.take(2, routes=[f"{SERVED}:ds"])
    watch(broker, late_after=-1)
    assert states_of(broker, waits) == ["SCHEDULED", "AwaitingConcurrencySlot"]
    assert states_of(broker, holds) == ["SCHEDULED"]
    calls.end(delivery)  # the other one is called up
    for _ in range(2):
        watch(broker, late_after=-1 - WAITS_FOR_A_PLACE)
    assert states_of(broker, waits)[2:] == ["Late"]


def test_damage_to_what_is_watched_costs_itself(broker: RedisBroker) -> None:
    prefix = broker.keys.prefix
    damage = [
        ("HSET", prefix + "announced", "w x", "no number", "nothing", ""),
        ("ZADD", prefix + "late", 0, "no run"),
        ("ZADD", prefix + "ready", 0, "no deployment"),
        ("SET", prefix + "doc:pool:x", "no hash"),
        ("ZADD", prefix + "docs:pool", 0, "x"),
        ("SET", prefix + "worker:y", "no hash"),
        ("ZADD", prefix + "workers", 9e15, "y"),
    ]
    broker.wires.commands(damage)
    late = flow_call(broker, 0)
    assert watch(broker, late_after=-1)
    assert states_of(broker, late)[-1] == "Late"
    for key in ("announced", "ready", "late"):
        broker.wires.commands([("DEL", prefix + key), ("SET", prefix + key, "something else")])
    assert watch(broker, late_after=-1)
    start_worker(broker)
    assert names(broker)[-1] == "worker.started"
