"""Submitting: a call is written once, waits where it should, and comes out in the right order."""

from __future__ import annotations

from brokers.messages import AckKind, Delivery, Status, routes_of
from brokers.records import CALLS_AT_ONCE
from brokers.redis.broker import RedisBroker
from brokers.redis.runs import PORTION_BYTES
from brokers.schema import Reason
from orchestrator.runs.run_ids import new_run_id
from tests.support.carriage import ROUTES, Calls, assert_nothing_left
from tests.support.waiting import wait_until


def test_a_submitted_call_comes_out_as_it_went_in(calls: Calls, broker: RedisBroker) -> None:
    envelope = calls.envelope(body=b"\x00\xff body")._replace(flow_run_id="flow", meta=b"\x81meta")
    assert broker.runs.submit([envelope]) == [envelope.run_id]
    assert calls.status(envelope.run_id) == Status.QUEUED
    delivery = calls.take_one()
    assert (delivery.run_id, delivery.task, delivery.body) == (envelope.run_id, "app.task", b"\x00\xff body")
    assert (delivery.flow_run_id, delivery.meta, delivery.upstreams) == ("flow", b"\x81meta", None)
    assert (delivery.retries, delivery.crashes, delivery.deliveries) == (0, 0, 1)
    assert calls.end(delivery)
    record = calls.record(envelope.run_id)
    assert (record.status, record.outcome) == (Status.COMPLETED, b"result")
    assert (record.task, record.flow_run_id) == ("app.task", "flow")
    assert_nothing_left(broker)


def test_repeating_a_submit_after_a_lost_reply_changes_nothing(calls: Calls, broker: RedisBroker) -> None:
    envelopes = [calls.envelope(), calls.envelope(d=1000), calls.envelope(i=("key", 60_000))]
    run_ids = broker.runs.submit(envelopes)
    assert broker.runs.submit(envelopes) == run_ids
    first = calls.take()
    assert broker.runs.submit(envelopes) == run_ids
    assert {delivery.run_id for delivery in first} == {run_ids[0], run_ids[2]}
    assert all(map(calls.end, first))
    assert calls.end(calls.wait_for_one())
    assert broker.runs.submit(envelopes) == run_ids
    assert calls.take() == []
    assert_nothing_left(broker)


def test_an_empty_submit_is_fine(broker: RedisBroker) -> None:
    assert broker.runs.submit([]) == []


def test_calls_of_one_route_come_out_in_the_order_of_submission(calls: Calls) -> None:
    run_ids = calls.submit_many(CALLS_AT_ONCE + 10)
    assert [delivery.run_id for delivery in calls.take(2 * CALLS_AT_ONCE)] == run_ids


def test_large_bodies_are_sent_in_slices_and_none_is_lost(calls: Calls) -> None:
    run_ids = calls.submit_many(7, body=bytes(PORTION_BYTES // 3))
    assert calls.run_all() == run_ids


def test_an_idempotency_key_leads_to_the_first_run(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit(i=("order-7", 60_000))
    assert calls.submit(i=("order-7", 60_000)) == first
    assert calls.submit(i=("order-8", 60_000)) != first
    assert len(calls.run_all()) == 2
    assert calls.submit(i=("order-7", 60_000)) == first
    assert calls.take() == []
    assert_nothing_left(broker)


def test_an_idempotency_key_twice_in_one_submit_makes_one_call(calls: Calls, broker: RedisBroker) -> None:
    plain, *twins = (calls.envelope(), calls.envelope(i=("k", 60_000)), calls.envelope(i=("k", 60_000)))
    run_ids = broker.runs.submit([plain, *twins])
    assert run_ids == [plain.run_id, twins[0].run_id, twins[0].run_id]
    assert len(calls.take()) == 2


def test_a_submit_in_slices_tells_the_known_runs_at_their_places(calls: Calls, broker: RedisBroker) -> None:
    known = calls.submit(i=("k", 60_000))
    envelopes = [calls.envelope() for _ in range(CALLS_AT_ONCE + 5)]
    envelopes[-2] = calls.envelope(i=("k", 60_000))
    expected = [envelope.run_id for envelope in envelopes]
    expected[-2] = known
    assert broker.runs.submit(envelopes) == expected


def test_a_delayed_call_is_queued_when_it_is_due(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(d=60)
    assert calls.status(run_id) == Status.DELAYED
    assert calls.take() == []
    next_due = broker.runs.move_due()
    assert next_due is not None
    assert 0 <= next_due <= 0.06
    wait_until(lambda: broker.runs.move_due() is None)
    assert calls.status(run_id) == Status.QUEUED
    assert calls.run_all() == [run_id]
    assert_nothing_left(broker)


def test_a_fetch_queues_what_is_due_by_itself(calls: Calls) -> None:
    run_id = calls.submit(d=20)
    assert calls.wait_for_one().run_id == run_id


def test_a_call_that_expires_in_the_queue_is_cancelled(calls: Calls, broker: RedisBroker) -> None:
    queued, delayed = calls.submit(x=30), calls.submit(x=30, d=50_000)
    parked = calls.submit(after=(calls.submit("00000000-0000-7000-8000-000000000001", d=60_000),), x=30)
    calls.move_until(lambda: {calls.status(run_id) for run_id in (queued, delayed, parked)} == {Status.CANCELLED})
    assert {calls.reason(run_id) for run_id in (queued, delayed, parked)} == {Reason.EXPIRED}
    broker.runs.cancel(["00000000-0000-7000-8000-000000000001"])
    assert calls.take() == []
    assert_nothing_left(broker)


def test_a_worker_that_fetches_an_expired_call_does_not_get_it(calls: Calls, broker: RedisBroker) -> None:
    run_id, later = calls.submit(x=0), calls.submit()
    assert [delivery.run_id for delivery in calls.take()] == [later]
    assert calls.status(run_id) == Status.CANCELLED


def test_a_call_that_started_in_time_is_not_ended_by_its_expiry(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit(x=150)
    crashed = calls.submit(x=150)
    first, second = calls.take()
    calls.end(first, AckKind.RETRY, delay_ms=200)
    wait_until(lambda: int(calls.command("ZCOUNT", broker.keys.prefix + "expiring", "-inf", _now(calls))) == 2)
    assert second.run_id == crashed
    assert broker.deliveries.take_over("worker", running={crashed: "killed"}) == 1
    broker.runs.move_due()
    assert sorted([calls.wait_for_one().run_id, calls.wait_for_one().run_id]) == sorted([run_id, crashed])


def _now(calls: Calls) -> int:
    seconds, microseconds = calls.command("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


def test_priorities_are_strict(calls: Calls, broker: RedisBroker) -> None:
    low, default, high = (calls.submit(route=f"q:{letter}s") for letter in "ldh")
    reader = broker.deliveries.reader("worker", ROUTES)
    order = [reader.take(1)[0][0].run_id for _ in range(3)]
    reader.close()
    assert order == [high, default, low]


def test_a_flood_of_high_does_not_starve_low(calls: Calls, broker: RedisBroker) -> None:
    low = calls.submit(route="q:ls")
    calls.submit_many(50, route="q:hs")
    reader = broker.deliveries.reader("worker", ROUTES)
    first_ten = [reader.take(1)[0][0].run_id for _ in range(10)]
    reader.close()
    assert low in first_ten


def test_what_comes_back_goes_before_what_is_new(calls: Calls) -> None:
    calls.submit_many(2, route="q:hs")
    handed_back = calls.take_one()
    assert calls.end(handed_back, AckKind.HAND_BACK)
    assert calls.take_one().run_id == handed_back.run_id


def test_queues_are_kept_apart(calls: Calls) -> None:
    here, there = calls.submit(), calls.submit(route="other:ds")
    assert [delivery.run_id for delivery in calls.take()] == [here]
    assert [delivery.run_id for delivery in calls.take(routes=routes_of(["other"], "s"))] == [there]


def test_lanes_are_kept_apart(calls: Calls) -> None:
    calls.submit(route="q:da")
    assert calls.take() == []
    assert len(calls.take(routes=routes_of(["q"], "a"))) == 1


def test_namespaces_are_kept_apart(calls: Calls, broker: RedisBroker) -> None:
    run_id = calls.submit()
    elsewhere = Calls(RedisBroker(broker.wires, broker.keys.prefix.strip("{}:") + "-2"))
    assert elsewhere.take() == []
    assert elsewhere.status(run_id) == Status.UNKNOWN


def test_a_run_that_nobody_knows_is_unknown(calls: Calls) -> None:
    record = calls.record(new_run_id())
    assert (record.status, record.outcome) == (Status.UNKNOWN, None)


def test_a_blocked_reader_wakes_when_a_call_comes(calls: Calls, broker: RedisBroker) -> None:
    import threading

    reader = broker.deliveries.reader("worker", ROUTES, block_seconds=8)
    reader.prepare()
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.extend(delivery.run_id for delivery in reader.wait(5)))
    thread.start()
    wait_until(lambda: _blocked(calls) > 0, message="the reader blocks")
    run_id = calls.submit()
    thread.join(5)
    reader.close()
    assert got == [run_id]


def _blocked(calls: Calls) -> int:
    info = calls.command("INFO", "clients").decode()
    return int(next(line for line in info.splitlines() if line.startswith("blocked_clients")).split(":")[1])


def test_a_fetch_takes_no_more_large_bodies_than_fit_into_a_reply(calls: Calls, broker: RedisBroker) -> None:
    runs = [calls.submit(body=bytes([65 + n]) * 7_000_000) for n in range(5)]
    taken = [calls.take(10) for _ in range(5)]
    assert [[delivery.run_id for delivery in some] for some in taken] == [[run_id] for run_id in runs]
    assert broker.deliveries.pending("worker", ROUTES).keys() == {
        delivery.ticket for some in taken for delivery in some
    }


def test_a_fetch_is_weighed_and_not_counted(calls: Calls) -> None:
    runs = calls.submit_many(20, body=bytes(300_000)) + calls.submit_many(100, body=b"small")
    taken: list[list[Delivery]] = []
    while some := calls.take(128):
        taken.append(some)
    assert [delivery.run_id for some in taken for delivery in some] == runs
    assert max(sum(len(delivery.body) for delivery in some) for some in taken) <= 1 << 20


def test_the_ends_of_many_large_results_come_in_small_replies(calls: Calls, broker: RedisBroker) -> None:
    runs = calls.submit_many(30)
    for delivery in calls.take():
        calls.end(delivery, outcome=bytes(300_000))
    told = broker.inboxes.expect(runs, "inbox")
    assert [run_id for run_id, _, _ in told] == runs
    assert 0 < sum(len(outcome) for _, _, outcome in told) <= 1 << 20
    assert [len(record.outcome or b"") for record in broker.records.read(runs)] == [300_000] * 30
