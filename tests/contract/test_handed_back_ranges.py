"""Calls of a range that a worker does not reach go back together: as a range, and not as a record each."""

from __future__ import annotations

from brokers.messages import Ack, AckKind, Delivery, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import BlockField
from tests.support.carriage import Calls, assert_nothing_left


def handed_back(taken: list[Delivery]) -> list[Ack]:
    return [Ack(one.ticket, one.run_id, AckKind.HAND_BACK, b"", 0) for one in taken]


def records(calls: Calls, run_ids: list[str]) -> list[str]:
    """Those that were moved out of their block."""
    return [run_id for run_id in run_ids if calls.command("EXISTS", calls.broker.keys.record(run_id))]


def complete(calls: Calls, acks: list[Ack]) -> list[str]:
    return calls.broker.deliveries.complete("worker", acks)


def waiting(broker: RedisBroker) -> tuple[int, int]:
    """How many calls wait, and how many are held."""
    (row,) = broker.figures.queues()
    return row.waiting, row.held


def end_the_rest(calls: Calls, run_ids: list[str], expected: list[str]) -> None:
    again = calls.take(1000, "other")
    assert [one.run_id for one in again] == expected
    assert {one.deliveries for one in again} == {1}
    assert complete(calls, list(map(calls.ack, again))) == []
    assert {record.status for record in calls.broker.records.read(run_ids)} == {Status.COMPLETED}
    assert_nothing_left(calls.broker)


def test_the_last_of_a_range_are_a_range_of_their_own(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(8)
    taken = calls.take()
    assert complete(calls, handed_back(taken[3:])) == []
    assert records(calls, run_ids) == []
    assert waiting(broker) == (5, 3)
    assert complete(calls, list(map(calls.ack, taken[:3]))) == []
    assert waiting(broker) == (5, 0)
    end_the_rest(calls, run_ids, run_ids[3:])


def test_all_of_it_go_back_as_often_as_a_worker_has_no_time(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    for _ in range(300):
        taken = calls.take()
        assert complete(calls, handed_back(taken)) == []
        assert waiting(broker) == (6, 0)
    key = f"{broker.keys.prefix}b:{run_ids[0][:32]}"
    assert calls.command("HGET", key, BlockField.SPLIT) is None
    end_the_rest(calls, run_ids, run_ids)


def test_what_comes_back_goes_first(calls: Calls) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take(3)
    assert complete(calls, handed_back(taken[1:])) == []
    assert calls.end(taken[0])
    end_the_rest(calls, run_ids, [*run_ids[1:3], *run_ids[3:]])


def test_those_before_one_that_is_kept_go_back_alone(calls: Calls) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take()
    assert complete(calls, handed_back([taken[1], taken[4], taken[5]])) == []
    assert records(calls, run_ids) == [run_ids[1]]
    assert complete(calls, [calls.ack(taken[at]) for at in (0, 2, 3)]) == []
    again = calls.take()
    assert sorted(one.run_id for one in again) == [run_ids[1], *run_ids[4:]]
    assert complete(calls, list(map(calls.ack, again))) == []
    assert_nothing_left(calls.broker)


def test_one_that_runs_long_stays_with_its_worker_and_alone_is_charged(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take()
    assert broker.deliveries.started([(taken[2].ticket, run_ids[2])]) == []
    assert complete(calls, [*map(calls.ack, taken[:2]), *handed_back(taken[3:])]) == []
    assert set(broker.deliveries.pending("worker", ["q:ds"]).values()) == {run_ids[2]}
    assert broker.deliveries.take_over("worker") == 1
    again = calls.take(1000, "other")
    assert {one.run_id: one.crashes for one in again} == {run_ids[2]: 1, **dict.fromkeys(run_ids[3:], 0)}
    assert complete(calls, list(map(calls.ack, again))) == []
    assert_nothing_left(broker)


def test_a_hand_back_that_is_repeated_changes_nothing(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take()
    for _ in range(2):  # the reply to the first was lost
        assert complete(calls, [calls.ack(taken[0]), *handed_back(taken[2:])]) == []
    assert records(calls, run_ids) == []
    other = calls.take(1000, "other")
    assert complete(calls, handed_back(taken[2:])) == []
    assert records(calls, run_ids) == []
    assert [one.run_id for one in other] == run_ids[2:]
    assert complete(calls, [calls.ack(one) for one in [taken[1], *other]]) == []
    assert_nothing_left(broker)


def test_a_worker_that_was_taken_for_dead_gives_nothing_back(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(5)
    taken = calls.take()
    assert broker.deliveries.take_over("worker") == 5
    complete(calls, handed_back(taken))
    again = calls.take(1000, "other")
    assert sorted(one.run_id for one in again) == run_ids
    assert complete(calls, list(map(calls.ack, again))) == []
    assert_nothing_left(broker)


def test_one_that_is_cancelled_does_not_come_back(calls: Calls, broker: RedisBroker) -> None:
    run_ids = calls.submit_map(6)
    taken = calls.take()
    broker.runs.cancel([run_ids[4]])
    assert complete(calls, handed_back(taken[1:])) == []
    assert calls.status(run_ids[4]) == Status.CANCELLED
    assert calls.end(taken[0])
    again = calls.take()
    assert sorted(one.run_id for one in again) == [*run_ids[1:4], run_ids[5]]
    assert complete(calls, list(map(calls.ack, again))) == []
    assert_nothing_left(broker)


def test_places_that_are_no_places_harm_nobody(calls: Calls, broker: RedisBroker) -> None:
    """From a worker whose memory was damaged: they are compared with what it holds."""
    run_ids = calls.submit_map(5)
    taken = calls.take()
    piece = [taken[0].ticket.partition("/")[0], run_ids[0][:32] + "r000", "G", b"\x04\x7f\xff\x04", b"", 0, b"\x90"]
    assert calls.broker.runs._store.run("complete", [piece]) == []
    assert complete(calls, [calls.ack(one) for one in taken[:4]]) == []
    end_the_rest(calls, run_ids, run_ids[4:])
