"""The record of a flow run is written with its call: both are there, or neither is."""

from __future__ import annotations

import pytest

from brokers.base import Broker
from brokers.messages import Ack, AckKind, Envelope, Status, routes_of
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from brokers.schema import DEPLOYMENT_CALL
from orchestrator.runs.run_ids import new_run_id

SERVED, POOLED = "s-0123456789ab", "p-0123abcd-1"
MONTH_MS = 30 * 86_400_000


def flow_call(queue: str = SERVED, **extras: object) -> Envelope:
    fields = ["flow", "nightly", "type", "SCHEDULED", "state", "Scheduled"]
    return Envelope(
        new_run_id(), DEPLOYMENT_CALL, f"{queue}:ds", b"body", None, None, None, {"F": fields, "T": MONTH_MS, **extras}
    )


def test_a_flow_run_is_known_as_soon_as_its_call(any_broker: Broker) -> None:
    call = flow_call()
    assert any_broker.runs.submit([call]) == [call.run_id]
    assert any_broker.flow_runs.read(call.run_id)["state"] == b"Scheduled"


def test_a_call_that_is_known_already_leaves_the_flow_run_as_it_is(any_broker: Broker) -> None:
    call = flow_call(i=["key", 60_000])
    any_broker.runs.submit([call])
    any_broker.flow_runs.write(call.run_id, {"type": "RUNNING", "state": "Running"})
    any_broker.runs.submit([call])
    twin = flow_call(i=["key", 60_000])
    assert any_broker.runs.submit([twin]) == [call.run_id]
    assert any_broker.flow_runs.read(call.run_id)["state"] == b"Running"
    assert any_broker.flow_runs.read(twin.run_id) == {}


def test_the_journal_tells_of_the_call_and_of_the_flow_run(broker: RedisBroker) -> None:
    call = flow_call()
    before = broker.journal.newest()
    broker.runs.submit([call])
    _, changes = broker.journal.after(before)
    assert [(one.run_id, one.status, one.of_flow) for one in changes] == [
        (call.run_id, b"S", False),
        (call.run_id, b"SCHEDULED", True),
    ]


def test_an_open_flow_run_never_expires_and_an_ended_one_is_kept_as_long_as_it_says(broker: RedisBroker) -> None:
    call = flow_call()
    broker.runs.submit([call])
    key = broker.keys.flow(call.run_id)
    assert broker.wires.commands([("PTTL", key)]) == [-1]
    broker.runs.cancel([call.run_id])
    assert broker.flow_runs.read(call.run_id)["state"] == b"Cancelled"
    assert broker.wires.commands([("PTTL", key)])[0] > MONTH_MS - 60_000


def test_what_its_process_reports_does_not_shorten_its_life(broker: RedisBroker) -> None:
    call = flow_call()
    broker.runs.submit([call])
    key = broker.keys.flow(call.run_id)
    broker.flow_runs.note([(call.run_id, {"type": "RUNNING", "state": "Running"}, True)])
    assert broker.flow_runs.beat([call.run_id], 10)[0] == []
    broker.flow_runs.write(call.run_id, {"type": "COMPLETED", "state": "Completed"})
    assert broker.wires.commands([("PTTL", key)])[0] > MONTH_MS - 60_000


@pytest.fixture
def carried(wires: Wires, namespace: str) -> RedisBroker:
    """A store whose calls travel over another broker."""
    return RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True)


@pytest.mark.parametrize("queue", [SERVED, POOLED])
def test_runs_of_deployments_are_fetched_from_the_store_where_calls_of_tasks_are_carried(
    carried: RedisBroker, queue: str
) -> None:
    call = flow_call(queue)
    carried.runs.submit([call, flow_call("mail")])
    routes = routes_of([queue, "mail"], "s")
    ((delivery,), _) = carried.deliveries.fetch("me", routes, 9)
    assert delivery.run_id == call.run_id
    assert carried.queues.backlog([queue]).held == {"me": 1}
    again = Ack(delivery.ticket, delivery.run_id, AckKind.RETRY, b"\0", 60_000)
    carried.deliveries.complete("me", [again])
    ((second,), _) = carried.deliveries.fetch("me", routes, 9)
    assert (second.run_id, second.retries) == (call.run_id, 1)
    carried.deliveries.complete("me", [Ack(second.ticket, second.run_id, AckKind.COMPLETED, b"done", 60_000)])
    assert carried.records.read([call.run_id])[0].status == Status.COMPLETED


def test_a_paused_queue_of_a_deployment_rests_there_too(carried: RedisBroker) -> None:
    call = flow_call()
    carried.queues.pause(SERVED)
    carried.runs.submit([call])
    assert carried.deliveries.fetch("me", routes_of([SERVED], "s"), 9)[0] == []
    carried.queues.resume(SERVED)
    assert [one.run_id for one in carried.deliveries.fetch("me", routes_of([SERVED], "s"), 9)[0]] == [call.run_id]


def test_the_limit_of_a_queue_holds_for_runs_of_deployments_there(wires: Wires, namespace: str) -> None:
    full = RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True, queue_limit=1)
    full.runs.submit([flow_call()])
    with pytest.raises(Exception, match="may hold 1"):
        full.runs.submit([flow_call()])


def test_a_deleted_flow_run_is_gone_with_its_call_and_one_without_a_call_once_it_has_ended(broker: RedisBroker) -> None:
    call, alone = flow_call(), new_run_id()
    broker.runs.submit([call])
    broker.flow_runs.note([(alone, {"type": "RUNNING", "state": "Running"}, True)])
    assert broker.runs.delete([call.run_id, alone]) == []
    broker.runs.cancel([call.run_id])
    broker.flow_runs.note([(alone, {"type": "COMPLETED", "state": "Completed"}, False)])
    assert broker.runs.delete([call.run_id, alone]) == [call.run_id, alone]
    assert broker.flow_runs.read_many([call.run_id, alone]) == [{}, {}]


def test_a_flow_run_that_was_killed_is_listed_until_somebody_has_sent_for_its_hooks(broker: RedisBroker) -> None:
    crashed, cancelled, again, waits = (flow_call() for _ in range(4))
    broker.runs.submit([crashed, cancelled, again, waits])
    broker.deliveries.fetch("victim", routes_of([SERVED], "s"), 4)
    broker.flow_runs.write(cancelled.run_id, {"type": "RUNNING", "state": "Running"})
    broker.runs.cancel([cancelled.run_id, waits.run_id])  # one has not begun: there is nothing to clean up
    broker.deliveries.take_over("victim", running={crashed.run_id: "killed by signal 9"}, max_deliveries=1)
    listed = broker.deliveries.killed()
    assert set(listed) == {crashed.run_id, cancelled.run_id}
    assert min(listed.values()) > 1_700_000_000_000
    assert set(broker.deliveries.killed(sent=[crashed.run_id])) == {cancelled.run_id}
    assert broker.deliveries.killed(sent=[cancelled.run_id]) == {}


def test_a_flow_run_whose_end_was_written_before_its_process_was_killed_has_called_its_hooks(
    broker: RedisBroker,
) -> None:
    call = flow_call()
    broker.runs.submit([call])
    broker.deliveries.fetch("victim", routes_of([SERVED], "s"), 1)
    broker.flow_runs.write(call.run_id, {"type": "FAILED", "state": "Failed"})
    broker.deliveries.take_over("victim", running={call.run_id: "killed by signal 9"}, max_deliveries=1)
    assert broker.deliveries.killed() == {}


def test_a_result_that_looks_like_a_superseded_run_is_none(broker: RedisBroker) -> None:
    call = flow_call()
    broker.runs.submit([call])
    (delivery,) = broker.deliveries.fetch("me", routes_of([SERVED], "s"), 1)[0]
    broker.deliveries.complete(
        "me", [Ack(delivery.ticket, call.run_id, AckKind.COMPLETED, b"any \x1fS bytes", MONTH_MS)]
    )
    assert broker.flow_runs.read(call.run_id)["state"] == b"Completed"
