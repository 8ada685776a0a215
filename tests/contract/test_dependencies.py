"""Dependencies live in the store: a parked run is queued, or settled as NotReady, by the end of its upstream."""

from __future__ import annotations

import pytest

from brokers.messages import AckKind, Status
from brokers.redis.broker import RedisBroker
from orchestrator.runs.run_ids import new_run_id
from tests.support.carriage import Calls, assert_nothing_left


def test_a_call_waits_for_an_open_upstream(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    run_id = calls.submit(after=(upstream,))
    assert calls.status(run_id) == Status.PARKED
    assert calls.run_all() == [upstream, run_id]
    assert_nothing_left(broker)


def test_a_call_waits_for_all_of_its_upstreams(calls: Calls, broker: RedisBroker) -> None:
    upstreams = calls.submit_many(3)
    run_id = calls.submit(after=tuple(upstreams))
    for delivery in calls.take():
        assert calls.status(run_id) == Status.PARKED
        calls.end(delivery)
    assert calls.run_all() == [run_id]
    assert_nothing_left(broker)


def test_the_same_upstream_twice_counts_once_or_twice_but_releases(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    run_id = calls.submit(after=(upstream, upstream))
    assert calls.run_all() == [upstream, run_id]
    assert_nothing_left(broker)


def test_a_call_after_a_completed_run_is_queued_at_once(calls: Calls) -> None:
    upstream = calls.submit()
    calls.run_all()
    assert calls.status(calls.submit(after=(upstream,))) == Status.QUEUED


def test_an_upstream_and_its_dependant_may_come_in_one_submit(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.envelope()
    dependant = calls.envelope(after=(upstream.run_id,))
    broker.runs.submit([upstream, dependant])
    assert calls.run_all() == [upstream.run_id, dependant.run_id]


@pytest.mark.parametrize("how", [AckKind.FAILED, AckKind.CANCELLED, AckKind.CRASHED, AckKind.DEAD])
def test_a_call_after_a_run_that_did_not_complete_never_runs(calls: Calls, broker: RedisBroker, how: str) -> None:
    upstream = calls.submit()
    before = calls.submit(after=(upstream,))
    calls.end(calls.take_one(), how)
    after = calls.submit(after=(upstream,))
    for run_id in (before, after):
        assert calls.status(run_id) == Status.NOT_READY
        assert calls.text(run_id) == upstream
    assert calls.take() == []
    assert_nothing_left(broker)


def test_a_call_after_an_unknown_run_never_runs(calls: Calls, broker: RedisBroker) -> None:
    unknown = new_run_id()
    run_id = calls.submit(after=(unknown,))
    assert (calls.status(run_id), calls.text(run_id)) == (Status.NOT_READY, unknown)
    assert calls.status(calls.submit(leniently_after=(unknown,))) == Status.QUEUED


def test_a_lenient_call_runs_whatever_became_of_its_upstream(calls: Calls, broker: RedisBroker) -> None:
    failing, good = calls.submit_many(2)
    before = calls.submit(leniently_after=(failing,), after=(good,))
    first, second = calls.take()
    calls.end(first, AckKind.FAILED)
    assert calls.status(before) == Status.PARKED
    calls.end(second)
    after = calls.submit(leniently_after=(failing,))
    assert calls.run_all() == [before, after]
    assert_nothing_left(broker)


def test_a_failure_settles_the_whole_graph_below_it(calls: Calls, broker: RedisBroker) -> None:
    top = calls.submit()
    middle = [calls.submit(after=(top,)) for _ in range(3)]
    bottom = [calls.submit(after=(run_id,)) for run_id in middle]
    rescued = calls.submit(leniently_after=(middle[0],))
    assert calls.run_all(AckKind.FAILED) == [top, rescued]
    assert [calls.text(run_id) for run_id in (*middle, *bottom)] == [top, top, top, *middle]
    assert_nothing_left(broker)


def test_a_parked_call_with_a_countdown_waits_for_both(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    run_id = calls.submit(after=(upstream,), d=80)
    assert calls.status(run_id) == Status.PARKED
    calls.end(calls.take_one())
    assert calls.status(run_id) == Status.DELAYED
    assert calls.take() == []
    assert calls.wait_for_one().run_id == run_id


def test_a_retried_upstream_keeps_its_dependants_waiting(calls: Calls) -> None:
    upstream = calls.submit()
    run_id = calls.submit(after=(upstream,))
    calls.end(calls.take_one(), AckKind.RETRY)
    assert calls.status(run_id) == Status.PARKED
    calls.end(calls.wait_for_one())
    assert calls.take_one().run_id == run_id


def test_a_large_fan_out_is_released_in_slices(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    dependants = calls.submit_many(5000, after=(upstream,))
    calls.end(calls.take_one())
    queued = sum(record.status == Status.QUEUED for record in broker.records.read(dependants))
    assert 0 < queued < 5000
    rounds = 0
    while broker.runs.move_due() == 0:
        rounds += 1
    assert rounds > 1
    assert all(record.status == Status.QUEUED for record in broker.records.read(dependants))
    done: list[str] = []
    while taken := calls.take(500):
        assert broker.deliveries.complete("worker", [calls.ack(delivery) for delivery in taken]) == []
        done += [delivery.run_id for delivery in taken]
    assert sorted(done) == sorted(dependants)
    assert_nothing_left(broker)


def test_a_large_fan_out_of_a_failure_is_settled_in_slices(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    dependants = calls.submit_many(3000, after=(upstream,))
    last = calls.submit(after=(dependants[-1],))
    calls.end(calls.take_one(), AckKind.FAILED)
    while broker.runs.move_due() == 0:
        pass
    assert {record.status for record in broker.records.read([*dependants, last])} == {Status.NOT_READY}
    assert_nothing_left(broker)


def test_a_chain_of_failures_is_settled_however_long(calls: Calls, broker: RedisBroker) -> None:
    chain = [calls.submit()]
    for _ in range(300):
        chain.append(calls.submit(after=(chain[-1],)))
    calls.end(calls.take_one(), AckKind.FAILED)
    assert {record.status for record in broker.records.read(chain[1:])} == {Status.NOT_READY}
    assert_nothing_left(broker)


def test_a_call_may_be_parked_behind_a_run_that_computes_the_same(calls: Calls, broker: RedisBroker) -> None:
    first, second = calls.submit_many(2)
    one, two = calls.take()
    assert calls.end(two, AckKind.BEHIND, behind=first)
    assert calls.status(second) == Status.PARKED
    assert not calls.end(two)
    calls.end(one, AckKind.FAILED)
    again = calls.take_one()
    assert (again.run_id, again.retries, again.crashes) == (second, 0, 0)
    assert calls.end(again, AckKind.BEHIND, behind=first)  # it has ended: no reason to wait
    assert calls.take_one().run_id == second


def test_a_call_behind_a_run_that_the_store_does_not_know_comes_back_uncharged(calls: Calls) -> None:
    run_id = calls.submit()
    assert calls.end(calls.take_one(), AckKind.BEHIND, behind="a-run@a-process", delay_ms=20)
    assert calls.status(run_id) == Status.DELAYED
    again = calls.wait_for_one()
    assert (again.run_id, again.retries, again.crashes) == (run_id, 0, 0)
    assert calls.end(again)


def test_an_upstream_that_is_replayed_is_waited_for_again(calls: Calls, broker: RedisBroker) -> None:
    upstream = calls.submit()
    calls.run_all(AckKind.FAILED)
    assert broker.runs.replay([upstream]) == [upstream]
    dependant = calls.submit(after=(upstream,))
    assert calls.run_all() == [upstream, dependant]
    assert_nothing_left(broker)


@pytest.mark.parametrize("when", ["it waits", "it runs"])
def test_who_waits_for_a_run_whose_record_vanished_does_not_wait_for_ever(
    calls: Calls, broker: RedisBroker, when: str
) -> None:
    upstream = calls.submit()
    strict, lenient = calls.submit(after=(upstream,)), calls.submit(leniently_after=(upstream,))
    last = calls.submit(after=(strict,))
    taken = calls.take() if when == "it runs" else []
    calls.command("DEL", broker.keys.record(upstream))
    if taken:
        assert not calls.end(taken[0])
    else:
        assert calls.take() == []
    assert calls.run_all() == [lenient]
    assert (calls.status(strict), calls.text(strict)) == (Status.NOT_READY, upstream)
    assert calls.status(last) == Status.NOT_READY
    assert_nothing_left(broker)
