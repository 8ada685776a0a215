"""Runs of deployments are listed as long as their records live, which is longer than the journal."""

from __future__ import annotations

import pytest

from brokers.base import Broker
from brokers.messages import Ack, AckKind, Envelope, Status, routes_of
from brokers.redis.broker import RedisBroker
from brokers.schema import DEPLOYMENT_CALL
from orchestrator.runs.run_ids import new_run_id

QUEUE = "s-0123456789ab"
MONTH_MS = 30 * 86_400_000


def deployment_run(
    deployment: str = "nightly", expected: float = 100.0, parent: str = "", **extras: object
) -> Envelope:
    fields = ["flow", "f", "type", "SCHEDULED", "deployment", deployment, "expected", f"{expected:.3f}"]
    if parent:
        fields += ["parent", parent, "with_parent", "1"]
    extras = {"F": fields, "T": MONTH_MS, **extras}
    return Envelope(new_run_id(), DEPLOYMENT_CALL, f"{QUEUE}:ds", b"body", parent or None, None, None, extras)


def test_runs_are_listed_by_deployment_and_all_together_the_last_to_begin_first(any_broker: Broker) -> None:
    first, third, second = (deployment_run(expected=moment) for moment in (100, 300, 200))
    other = deployment_run("hourly", 250)
    any_broker.runs.submit([first, third, second, other])
    listed = any_broker.flow_runs.listed
    assert listed("nightly") == (3, [third.run_id, second.run_id, first.run_id])
    assert listed("nightly", 1, 1) == (3, [second.run_id])
    assert listed() == (4, [third.run_id, other.run_id, second.run_id, first.run_id])
    assert listed("unknown") == (0, [])


def test_a_repeated_call_is_listed_once_and_a_deleted_run_no_longer(broker: RedisBroker) -> None:
    call = deployment_run()
    broker.runs.submit([call])
    broker.runs.submit([call])
    assert broker.flow_runs.listed("nightly") == broker.flow_runs.listed() == (1, [call.run_id])
    broker.runs.cancel([call.run_id])
    broker.runs.delete([call.run_id])
    assert broker.flow_runs.listed("nightly") == broker.flow_runs.listed() == (0, [])
    assert broker.wires.commands([("ZCARD", broker.keys.prefix + "listed")]) == [0]


def test_a_run_is_listed_until_its_record_has_expired(broker: RedisBroker) -> None:
    open_run, ended, gone = (deployment_run(expected=moment) for moment in (300, 200, 100))
    broker.runs.submit([open_run, ended, gone])
    broker.runs.cancel([ended.run_id, gone.run_id])
    listed = broker.keys.prefix + "listed"
    broker.wires.commands([("DEL", broker.keys.flow(gone.run_id))])
    broker.wires.commands([("ZADD", listed, 1, f"{run.run_id} nightly") for run in (open_run, ended, gone)])
    broker.wires.commands([("ZADD", listed, 1, "damaged")])
    broker.consumers.tidy(60, 60)
    for deployment in ("nightly", None):
        assert broker.flow_runs.listed(deployment) == (2, [open_run.run_id, ended.run_id])
    (clock, again) = broker.wires.commands([("TIME",), ("ZRANGE", listed, 0, -1, "WITHSCORES")])
    looked_at = dict(zip(again[::2], map(float, again[1::2]), strict=True))
    days = (looked_at[f"{ended.run_id} nightly".encode()] - int(clock[0]) * 1000) / 86_400_000
    assert round(days) == 30
    assert len(looked_at) == 2


def test_log_lines_of_a_run_of_a_deployment_live_as_long_as_its_record(broker: RedisBroker) -> None:
    call, other = deployment_run(), new_run_id()
    broker.runs.submit([call])
    broker.logs.append({call.run_id: [b"line"], other: [b"line"]}, 10)
    lives = broker.wires.commands([("PTTL", broker.keys.log(call.run_id)), ("PTTL", broker.keys.log(other))])
    assert lives[0] > MONTH_MS - 60_000
    assert lives[1] <= 86_400_000


def parent_and_child(broker: RedisBroker) -> tuple[str, str]:
    parent = deployment_run("parent")
    child = deployment_run("child", parent=parent.run_id)
    broker.runs.submit([parent, child])
    return parent.run_id, child.run_id


def states(broker: RedisBroker, *run_ids: str) -> list[bytes]:
    broker.runs.move_due()
    return [record.status for record in broker.records.read(run_ids)]


def test_a_child_is_cancelled_when_its_parent_is_cancelled_in_the_store(broker: RedisBroker) -> None:
    parent, child = parent_and_child(broker)
    alone = deployment_run("child")
    broker.runs.submit([alone])
    broker.runs.cancel([parent])
    assert states(broker, parent, child, alone.run_id) == [Status.CANCELLED, Status.CANCELLED, Status.QUEUED]
    assert broker.flow_runs.read(child)["state"] == b"Cancelled"


def test_a_grandchild_is_cancelled_too_and_one_that_comes_late(broker: RedisBroker) -> None:
    parent, child = parent_and_child(broker)
    grandchild = deployment_run("grandchild", parent=child)
    broker.runs.submit([grandchild])
    broker.runs.cancel([parent])
    late = deployment_run("late", parent=parent)
    broker.runs.submit([late])
    states(broker)
    assert states(broker, child, grandchild.run_id, late.run_id) == [Status.CANCELLED] * 3


@pytest.mark.parametrize(("how", "expected"), [(AckKind.DEAD, Status.CANCELLED), (AckKind.FAILED, Status.QUEUED)])
def test_a_child_is_cancelled_when_the_process_of_its_parent_was_killed_and_not_when_it_failed(
    broker: RedisBroker, how: str, expected: bytes
) -> None:
    parent, child = parent_and_child(broker)
    (delivery,), _ = broker.deliveries.fetch("me", routes_of([QUEUE], "s"), 1)
    assert delivery.run_id == parent
    broker.deliveries.complete("me", [Ack(delivery.ticket, parent, how, b"\0it", 60_000)])
    assert states(broker, child) == [expected]
    assert broker.wires.commands([("EXISTS", f"{broker.keys.prefix}children:{parent}")]) == [0]


def test_a_child_of_a_flow_in_its_callers_process_is_cancelled_once_that_is_silent(broker: RedisBroker) -> None:
    parent = new_run_id()
    broker.flow_runs.note([(parent, {"type": "RUNNING", "state": "Running"}, True)])
    child = deployment_run("child", parent=parent)
    broker.runs.submit([child])
    assert states(broker, child.run_id) == [Status.QUEUED]
    assert broker.flow_runs.end_silent(parent, 0, {"type": "CRASHED", "state": "Crashed"})
    assert states(broker, child.run_id) == [Status.CANCELLED]


def test_a_running_child_is_asked_to_stop(broker: RedisBroker) -> None:
    parent = new_run_id()
    child = deployment_run("child", parent=parent)
    broker.runs.submit([child])
    broker.deliveries.fetch("me", routes_of([QUEUE], "s"), 1)
    broker.flow_runs.note([(parent, {"type": "CANCELLED", "state": "Cancelled"}, False)])
    assert states(broker, child.run_id) == [Status.CANCELLING]
