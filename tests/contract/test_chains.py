"""A map behind another one: its calls are kept together too, and are released range by range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import pytest

from brokers.block_ids import BLOCK_CHARACTERS, MOST_IN_BLOCK
from brokers.framed_calls import FramedCalls, Upstreams
from brokers.messages import Ack, AckKind, Delivery, Status
from brokers.redis.broker import RedisBroker
from brokers.schema import BlockField
from orchestrator.runs.run_ids import new_map_run_ids, new_run_id
from tests.support.carriage import NO_EXPIRY, TTL_MS, Calls, assert_nothing_left


def chain(
    calls: Calls, upstreams: Sequence[Upstreams | None] | None, count: int | None = None, **how: Any
) -> list[str]:
    """Submit a map of which each call takes results of some runs."""
    count = len(upstreams or ()) if count is None else count
    run_ids = list(new_map_run_ids(count))
    framed = FramedCalls(calls.envelope(**how), run_ids, [b"%d" % at for at in range(count)], upstreams)
    return calls.broker.runs.submit(framed)


def each(run_ids: Sequence[str], goes_on: bool = False) -> list[Upstreams]:
    return [[(run_id, goes_on)] for run_id in run_ids]


def block_field(calls: Calls, run_id: str, field: str) -> Any:
    return calls.command("HGET", calls.broker.keys.prefix + "b:" + run_id[:BLOCK_CHARACTERS], field)


def is_moved_out(calls: Calls, run_id: str) -> bool:
    return bool(calls.command("EXISTS", calls.broker.keys.record(run_id)))


def statuses(calls: Calls, run_ids: Sequence[str]) -> bytes:
    return b"".join(record.status for record in calls.broker.records.read(run_ids))


def complete(calls: Calls, deliveries: Sequence[Delivery], how: str = AckKind.COMPLETED) -> list[str]:
    acks: list[Ack] = [calls.ack(one, how, outcome=one.body) for one in deliveries]
    return calls.broker.deliveries.complete("worker", acks)


def all_in_blocks(calls: Calls, run_ids: Sequence[str]) -> bool:
    return not any(is_moved_out(calls, run_id) for run_id in run_ids)


# -- range by range ----------------------------------------------------------------------------------------------------


def test_calls_behind_calls_of_a_block_stay_in_blocks(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(300, body=b"x")
    second = chain(calls, each(first))
    assert statuses(calls, second) == Status.PARKED * 300
    assert complete(calls, calls.take(1000)) == []
    taken = calls.take(1000)
    assert [one.run_id for one in taken] == second
    assert [msgpack.unpackb(one.upstreams or b"") for one in taken] == [[run_id] for run_id in first]
    assert all(one.results and one.results[run_id] == (b"C", b"x") for one, run_id in zip(taken, first, strict=True))
    assert complete(calls, taken) == []
    assert statuses(calls, second) == Status.COMPLETED * 300
    assert all_in_blocks(calls, first + second)
    assert_nothing_left(broker)


def test_what_has_ended_releases_what_waits_for_it_and_no_more(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(10)
    second = chain(calls, each(first))
    parts = [calls.take(4, consumer) for consumer in ("a", "b", "a")]
    assert complete(calls, parts[1]) == []
    assert [one.run_id for one in calls.take(100, "c")] == second[4:8]
    assert complete(calls, parts[0][1:3]) == []
    assert [one.run_id for one in calls.take(100, "d")] == second[1:3]
    assert complete(calls, [parts[0][0], parts[0][3], *parts[2]]) == []
    assert [one.run_id for one in calls.take(100, "e")] == [second[0], second[3], *second[8:]]
    assert all_in_blocks(calls, first + second)


def test_a_map_over_a_part_of_two_maps(calls: Calls, broker: RedisBroker) -> None:
    first, other = calls.submit_map(200), calls.submit_map(5)
    second = chain(calls, each(first[100:] + other + first[:20]))
    assert complete(calls, calls.take(1000)) == []
    taken = calls.take(1000)
    upstreams = dict(zip(second, first[100:] + other + first[:20], strict=True))
    assert {one.run_id: msgpack.unpackb(one.upstreams or b"")[0] for one in taken} == upstreams
    assert complete(calls, taken) == []
    assert all_in_blocks(calls, first + other + second)
    assert_nothing_left(broker)


def test_calls_that_wait_for_two_maps_wait_for_both(calls: Calls, broker: RedisBroker) -> None:
    left, right = calls.submit_map(8), calls.submit_map(8)
    both = chain(calls, [[(a, False), (b, False)] for a, b in zip(left, right, strict=True)])
    some = calls.take(6)
    assert complete(calls, some) == []
    rest = calls.take(6)
    assert [one.run_id for one in rest] == [*left[6:], *right[:4]]
    assert complete(calls, rest) == []
    taken = calls.take(4, "other")
    assert [one.run_id for one in taken] == right[4:]
    assert [one.run_id for one in calls.take()] == both[:4]
    assert complete(calls, taken) == []
    assert [one.run_id for one in calls.take()] == both[4:]
    assert all_in_blocks(calls, both)


def test_a_chain_of_maps(calls: Calls, broker: RedisBroker) -> None:
    maps = [calls.submit_map(10)]
    for _ in range(5):
        maps.append(chain(calls, each(maps[-1])))
    assert calls.run_all() == [run_id for run_ids in maps for run_id in run_ids]
    assert all_in_blocks(calls, [run_id for run_ids in maps for run_id in run_ids])
    assert_nothing_left(broker)


def test_all_wait_for_one_run_and_for_a_map(calls: Calls, broker: RedisBroker) -> None:
    single, first = calls.submit(), calls.submit_map(6)
    second = chain(calls, [[(single, False)] for _ in range(8)], r=[(run_id, False) for run_id in first])
    assert statuses(calls, second) == Status.PARKED * 8
    taken = calls.take(6)
    assert complete(calls, taken) == []
    (last,) = calls.take()
    assert calls.take(1, "other") == []
    assert complete(calls, [last]) == []
    taken = calls.take()
    assert [one.run_id for one in taken] == second
    assert [(msgpack.unpackb(one.upstreams or b""), one.results) for one in taken] == [
        ([single], {single: (b"C", b"body")})
    ] * 8
    assert complete(calls, taken) == []
    assert all_in_blocks(calls, second)
    assert_nothing_left(broker)


def test_a_map_behind_one_that_has_ended_is_queued_at_once(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(10)
    taken = calls.take()
    assert complete(calls, taken[:5]) == []
    assert complete(calls, taken[5:7], AckKind.FAILED) == []
    second = chain(calls, each(first))
    assert statuses(calls, second) == b"Q" * 5 + b"NN" + b"PPP"
    assert calls.text(second[5]) == first[5]
    assert [one.run_id for one in calls.take()] == second[:5]


def test_the_same_map_sent_twice_changes_nothing(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    run_ids = list(new_map_run_ids(6))
    framed = FramedCalls(calls.envelope(), run_ids, [b""] * 6, each(first))
    for _ in range(2):
        broker.runs.submit(framed)
    assert calls.run_all() == first + run_ids
    broker.runs.submit(framed)
    assert calls.run_all() == []
    assert_nothing_left(broker)


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_does_not_stand_side_by_side_has_records(calls: Calls, broker: RedisBroker, goes_on: bool) -> None:
    first = calls.submit_map(40)
    second = chain(calls, each(first[::2], goes_on))
    assert not all_in_blocks(calls, second)
    assert sorted(calls.run_all()) == sorted(first + second)
    assert_nothing_left(broker)


# -- what does not complete --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [AckKind.FAILED, AckKind.CANCELLED, AckKind.CRASHED, AckKind.DEAD])
def test_who_waits_for_one_that_did_not_complete_never_runs(calls: Calls, broker: RedisBroker, how: str) -> None:
    first = calls.submit_map(8)
    second = chain(calls, each(first))
    third = chain(calls, each(second))
    taken = calls.take()
    assert complete(calls, taken[2:4], how) == []
    assert statuses(calls, second) == b"PPNNPPPP"
    assert statuses(calls, third) == b"PPNNPPPP"
    assert (calls.text(second[2]), calls.text(third[3])) == (first[2], second[3])
    assert complete(calls, [*taken[:2], *taken[4:]]) == []
    assert calls.run_all() == second[:2] + second[4:] + third[:2] + third[4:]
    assert all_in_blocks(calls, third)
    assert_nothing_left(broker)


def test_who_goes_on_after_a_failure_gets_the_failure(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(5)
    second = chain(calls, each(first, goes_on=True))
    taken = calls.take()
    assert complete(calls, taken[:2], AckKind.FAILED) == []
    assert complete(calls, taken[2:]) == []
    taken = calls.take()
    assert [one.run_id for one in taken] == second
    assert [one.results[run_id][0] for one, run_id in zip(taken, first, strict=True) if one.results] == [
        *[b"F"] * 2,
        *[b"C"] * 3,
    ]


def test_a_retried_upstream_releases_later(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(5)
    second = chain(calls, each(first))
    taken = calls.take()
    assert complete(calls, [taken[0], *taken[2:]]) == []
    assert calls.end(taken[1], AckKind.RETRY)
    assert statuses(calls, second) == b"QPQQQ"
    again = calls.wait_for_one()
    while again.run_id != first[1]:
        assert calls.end(again)
        again = calls.wait_for_one()
    assert calls.end(again)
    assert set(calls.run_all()) <= set(second)
    assert statuses(calls, second) == b"CCCCC"
    assert_nothing_left(broker)


def test_an_upstream_that_was_moved_out_before_and_after(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    early = chain(calls, each(first))
    taken = calls.take()
    assert calls.end(taken[0], AckKind.RETRY)
    assert calls.end(taken[1], AckKind.HAND_BACK)
    late = chain(calls, each(first))
    assert complete(calls, taken[2:]) == []
    calls.move_until(lambda: (calls.run_all(), statuses(calls, [*early, *late]) == b"C" * 12)[1])
    assert_nothing_left(broker)


def test_a_dead_letter_that_is_replayed_is_no_upstream_any_more(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    taken = calls.take()
    assert complete(calls, taken[:1], AckKind.DEAD) == []
    assert complete(calls, taken[1:]) == []
    assert broker.runs.replay([first[0]]) == [first[0]]
    assert statuses(calls, second) == b"NQQQ"
    assert sorted(calls.run_all()) == sorted([first[0], *second[1:]])
    assert broker.runs.replay([second[0]]) == [second[0]]  # it takes the result now
    (again,) = calls.take()
    assert (again.run_id, msgpack.unpackb(again.upstreams or b"")) == (second[0], [first[0]])
    assert calls.end(again)
    assert_nothing_left(broker)


# -- what happens to one that waits ------------------------------------------------------------------------------------


def test_some_that_wait_are_cancelled(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    second = chain(calls, each(first))
    third = chain(calls, each(second))
    assert len(broker.runs.cancel(second[1:3])) == 2
    assert statuses(calls, second) == b"PKKPPP"
    assert statuses(calls, third) == b"PNNPPP"
    assert calls.run_all() == [*first, second[0], *second[3:], third[0], *third[3:]]
    assert all_in_blocks(calls, second + third)
    assert_nothing_left(broker)


def test_all_that_wait_are_cancelled(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    second = chain(calls, each(first))
    broker.runs.cancel(second)
    assert statuses(calls, second) == b"K" * 6
    assert calls.run_all() == first
    assert_nothing_left(broker)


def test_one_that_waits_and_has_a_record_is_released_with_the_others(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    second = chain(calls, each(first))
    calls.broker.runs._store.run("run_now", [[second[2]], 1000])
    assert statuses(calls, second) == b"PPPPPP"
    assert is_moved_out(calls, second[2])
    taken = calls.take()
    assert complete(calls, [one for one in taken if one.run_id != first[2]]) == []
    assert statuses(calls, second) == b"QQPQQQ"
    assert complete(calls, [one for one in taken if one.run_id == first[2]]) == []
    taken = calls.take()
    assert sorted(one.run_id for one in taken) == sorted(second)
    assert [msgpack.unpackb(one.upstreams or b"") for one in taken if one.run_id == second[2]] == [[first[2]]]
    assert complete(calls, taken) == []
    assert_nothing_left(broker)


def test_a_purge_of_upstreams_ends_who_waits_for_them(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    second = chain(calls, each(first), route="other:ds")
    taken = calls.take(2)
    assert broker.queues.purge("q") == 4
    assert statuses(calls, second) == b"PPNNNN"
    assert complete(calls, taken) == []
    assert statuses(calls, second) == b"QQNNNN"


def test_those_that_wait_are_not_counted_as_queued(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(20)
    second = chain(calls, each(first))
    assert broker.queues.backlog(["q"]).waiting == 20
    assert complete(calls, calls.take(5)) == []
    assert broker.queues.backlog(["q"]).waiting == 20
    broker.runs.cancel(second)
    assert broker.queues.backlog(["q"]).waiting == 15


def test_a_worker_that_dies_with_a_range_loses_none(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(6)
    second = chain(calls, each(first))
    assert complete(calls, calls.take()) == []
    calls.take(4, "doomed")
    assert broker.deliveries.take_over("doomed", running={second[0]: "it crashed"}) == 4
    taken = calls.take()
    assert sorted(one.run_id for one in taken) == sorted(second)
    assert {msgpack.unpackb(one.upstreams or b"")[0] for one in taken} == set(first)
    assert complete(calls, taken) == []
    assert_nothing_left(broker)


# -- results are kept as long as somebody needs them -------------------------------------------------------------------


def test_results_are_kept_until_the_last_has_taken_them(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    acks = [calls.ack(one, ttl_ms=1) for one in calls.take()]
    assert broker.deliveries.complete("worker", acks) == []
    assert calls.command("PTTL", broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS]) == -1
    taken = calls.take()
    assert calls.end(taken[0], AckKind.RETRY)
    assert complete(calls, taken[1:]) == []
    assert calls.command("PTTL", broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS]) == -1
    assert calls.end(calls.wait_for_one())
    assert calls.command("PTTL", broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS]) != -1
    assert statuses(calls, second) == b"CCCC"
    assert_nothing_left(broker)


def test_results_are_let_go_when_the_last_call_was_moved_out_by_a_script_that_lets_nothing_go(
    calls: Calls, broker: RedisBroker
) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    assert complete(calls, calls.take()) == []
    taken = calls.take()
    assert complete(calls, taken[1:]) == []
    broker.runs._store.run("undo_write", [second[0], taken[0].ticket, 0, [b"undo"], TTL_MS])
    assert is_moved_out(calls, second[0])
    calls.move_until(lambda: not calls.command("EXISTS", broker.keys.prefix + "chained"))
    assert calls.command("SMEMBERS", broker.keys.prefix + "n:" + first[0][:BLOCK_CHARACTERS]) == [second[0].encode()]
    assert calls.end(taken[0])
    calls.command("DEL", broker.keys.prefix + "txn:" + second[0], broker.keys.prefix + "killed")
    assert_nothing_left(broker)


def test_one_that_is_moved_out_needs_what_it_takes_and_no_more(calls: Calls, broker: RedisBroker) -> None:
    first, other = calls.submit_map(4), calls.submit_map(4)
    run_ids = list(new_map_run_ids(5))
    framed = FramedCalls(calls.envelope(), run_ids, [b""] * 5, each([*first, other[0]]))
    broker.runs.submit(framed)
    broker.runs.submit(list(framed))  # sent again together with others: as single calls
    assert not all_in_blocks(calls, run_ids)
    assert statuses(calls, run_ids) == b"PPPPP"
    assert sorted(calls.run_all()) == sorted(first + other + run_ids)
    assert_nothing_left(broker)


def test_results_that_vanished_hold_up_nobody(calls: Calls, broker: RedisBroker) -> None:
    """As with records: who waited for it was released; the worker finds that there is no result."""
    left, right = calls.submit_map(4), calls.submit_map(4)
    both = chain(calls, [[(a, False), (b, False)] for a, b in zip(left, right, strict=True)])
    taken = calls.take()
    assert complete(calls, taken[:4]) == []
    calls.command("DEL", broker.keys.prefix + "b:" + left[0][:BLOCK_CHARACTERS])
    assert complete(calls, taken[4:]) == []
    taken = calls.take()
    assert [one.run_id for one in taken] == both
    assert [one.results for one in taken] == [None] * 4


def behind(calls: Calls, run_ids: Sequence[str], count: int) -> list[str]:
    """Submit a map of which each call waits for all of these, and takes none of their results."""
    return chain(calls, None, count, r=[(run_id, False) for run_id in run_ids])


def lose_notes(calls: Calls, run_id: str) -> None:
    calls.command("DEL", calls.broker.keys.prefix + "d:" + run_id)


def look_again(calls: Calls, run_id: str) -> None:
    """What the mover does half a minute later."""
    calls.command("ZADD", calls.broker.keys.prefix + "chained", 0, run_id[:BLOCK_CHARACTERS])
    calls.move_until(lambda: calls.command("ZSCORE", calls.broker.keys.prefix + "chained", run_id[:32]) != b"0")


@pytest.mark.parametrize(("how", "then"), [(AckKind.FAILED, Status.NOT_READY), (AckKind.COMPLETED, Status.QUEUED)])
@pytest.mark.parametrize("single", [False, True])
def test_how_an_upstream_ended_is_known_as_long_as_somebody_waits(
    calls: Calls, broker: RedisBroker, how: str, then: bytes, single: bool
) -> None:
    first = [calls.submit()] if single else list(calls.submit_map(4))
    second = behind(calls, first, 5)
    lose_notes(calls, first[0] if single else first[0][:BLOCK_CHARACTERS])
    acks = [calls.ack(one, how, ttl_ms=1) for one in calls.take()]
    assert broker.deliveries.complete("worker", acks) == []
    key = broker.keys.record(first[0]) if single else broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS]
    assert calls.command("PTTL", key) == NO_EXPIRY
    look_again(calls, second[0])
    assert statuses(calls, second) == then * 5
    assert calls.command("PTTL", key) != NO_EXPIRY
    assert calls.run_all() == (second if then == Status.QUEUED else [])
    assert_nothing_left(broker)


@pytest.mark.parametrize("single", [False, True])
def test_an_upstream_that_vanished_has_not_completed(calls: Calls, broker: RedisBroker, single: bool) -> None:
    first = [calls.submit()] if single else list(calls.submit_map(4))
    second = behind(calls, first, 5)
    calls.take()
    calls.command("DEL", broker.keys.record(first[0]), broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS])
    look_again(calls, second[0])
    assert statuses(calls, second) == Status.NOT_READY * 5
    assert calls.text(second[0]) == first[0]


def test_a_result_is_kept_for_who_came_after_it_was_moved_out(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    taken = calls.take()
    assert calls.end(taken[1], AckKind.RETRY)
    second = chain(calls, each(first))
    again = calls.wait_for_one()
    assert calls.end(again, ttl_ms=1)
    assert calls.command("PTTL", broker.keys.record(first[1])) == NO_EXPIRY
    assert complete(calls, [one for one in taken if one is not taken[1]]) == []
    assert sorted(calls.run_all()) == sorted(second)
    assert_nothing_left(broker)


# -- nothing hangs -----------------------------------------------------------------------------------------------------


def test_a_note_that_was_lost_is_made_up_for(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    calls.command("DEL", broker.keys.prefix + "d:" + first[0][:BLOCK_CHARACTERS])
    assert complete(calls, calls.take()) == []
    assert statuses(calls, second) == b"PPPP"
    calls.command("ZADD", broker.keys.prefix + "chained", 0, second[0][:BLOCK_CHARACTERS])  # half a minute later
    calls.move_until(lambda: statuses(calls, second) == b"QQQQ")
    assert calls.run_all() == second
    assert_nothing_left(broker)


def test_calls_have_records_while_a_worker_lives_that_does_not_read_chains(calls: Calls, broker: RedisBroker) -> None:
    broker.consumers.beat(["new", "old"], 60)
    calls.command("ZREM", broker.keys.prefix + "chain_readers", "old")
    first = calls.submit_map(6)
    second = chain(calls, each(first))
    assert all_in_blocks(calls, first)
    assert not all_in_blocks(calls, second)
    assert statuses(calls, second) == b"P" * 6
    taken = calls.take()
    assert complete(calls, taken) == []
    taken = calls.take()
    assert [(one.run_id, msgpack.unpackb(one.upstreams or b"")) for one in taken] == [
        (run_id, [upstream]) for run_id, upstream in zip(second, first, strict=True)
    ]
    assert complete(calls, taken) == []


def test_an_older_worker_takes_a_range_for_a_call_that_it_must_not_run(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    assert complete(calls, calls.take()) == []
    (entry,) = calls.command("XRANGE", broker.keys.stream("q:ds"), "-", "+")
    range_id = entry[1][1].decode()
    assert range_id[BLOCK_CHARACTERS] == "s"
    assert msgpack.unpackb(calls.command("HGET", broker.keys.record(range_id), "m")) == {"n": 2}
    assert calls.run_all() == second


# -- data from outside -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [b"", b"junk", msgpack.packb([[0, 300, "x", 0, 0, 2]]), msgpack.packb(["x"]), b"\xff"]
)
def test_sources_that_somebody_damaged_cost_those_that_wait(calls: Calls, broker: RedisBroker, damage: bytes) -> None:
    first, fine = calls.submit_map(4), calls.submit_map(4)
    second, other = chain(calls, each(first)), chain(calls, each(fine))
    calls.command("HSET", broker.keys.prefix + "b:" + second[0][:BLOCK_CHARACTERS], BlockField.SOURCES, damage)
    assert complete(calls, calls.take()) == []
    assert statuses(calls, second) == Status.CRASHED * 4
    assert calls.run_all() == other


@pytest.mark.parametrize("damage", [b"", b"\1" * 200])
def test_marks_of_who_waits_that_somebody_damaged_cost_nobody_else(
    calls: Calls, broker: RedisBroker, damage: bytes
) -> None:
    first, fine = calls.submit_map(4), calls.submit_map(4)
    second, other = chain(calls, each(first)), chain(calls, each(fine))
    calls.command("HSET", broker.keys.prefix + "b:" + second[0][:BLOCK_CHARACTERS], BlockField.WAITING, damage)
    assert complete(calls, calls.take()) == []
    assert calls.run_all() == other


def test_notes_that_somebody_damaged_cost_nobody(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    key = broker.keys.prefix + "d:" + first[0][:BLOCK_CHARACTERS]
    name = second[0][:BLOCK_CHARACTERS]
    for note in ([0, 3, name, True, 1000], [0, 3, name, True, "x"], [0, 3, name, True, 0.5], [0, 3, "f" * 32, True, 0]):
        calls.command("RPUSH", key, msgpack.packb(note))
    assert complete(calls, calls.take()) == []
    assert calls.run_all() == second
    assert_nothing_left(broker)


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_a_chain_costs_a_few_commands_for_a_block(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(10 * MOST_IN_BLOCK)

    def commands() -> int:
        info = calls.command("INFO", "commandstats")
        return sum(int(line.split(b"calls=")[1].split(b",")[0]) for line in info.splitlines() if b"calls=" in line)

    before = commands()
    second = chain(calls, each(first))
    while taken := calls.take(1000):
        assert complete(calls, taken) == []
    assert commands() - before <= 0.3 * 2 * len(first)
    assert statuses(calls, second) == b"C" * len(second)


def test_20000_calls_behind_20000(calls: Calls, broker: RedisBroker) -> None:
    first = calls.submit_map(20_000, body=b"")
    second = chain(calls, each(first))
    ended = 0
    while taken := calls.take(4000):
        assert complete(calls, taken) == []
        ended += len(taken)
    assert ended == 40_000
    assert statuses(calls, second) == b"C" * 20_000
    assert_nothing_left(broker)


# -- one call behind a whole map ---------------------------------------------------------------------------------------


def reduced(calls: Calls, run_ids: Sequence[str], goes_on: bool = False) -> str:
    """Submit one call that takes the results of many."""
    waits = [(run_id, goes_on) for run_id in run_ids]
    call = calls.envelope(r=waits, u=msgpack.packb(list(run_ids)))
    return calls.broker.runs.submit([call])[0]


def test_one_call_behind_100000(calls: Calls, broker: RedisBroker) -> None:
    """A note, a look, and a word for each block: what is done for each call is done in no command of its own."""

    def commands() -> int:
        info = calls.command("INFO", "commandstats")
        return sum(int(line.split(b"calls=")[1].split(b",")[0]) for line in info.splitlines() if b"calls=" in line)

    count = 100_000
    first = list(calls.submit_map(count, body=b""))
    before = commands()
    total = reduced(calls, first)
    assert commands() - before <= 0.1 * count
    assert calls.status(total) == Status.PARKED
    assert len(calls.command("LRANGE", broker.keys.prefix + "d:" + first[0][:BLOCK_CHARACTERS], 0, -1)) == 1
    ended = 0
    while ended < count:
        taken = calls.take(4000)
        assert complete(calls, taken) == []
        ended += len(taken)
    assert all_in_blocks(calls, first[::1000])
    (call,) = calls.take()
    assert (call.run_id, msgpack.unpackb(call.upstreams or b"")) == (total, first)
    before = commands()
    results = broker.inboxes.ends(first)
    assert len(results) == count
    assert results[first[-1]] == (b"C", b"")
    assert calls.end(call)
    assert commands() - before <= 0.1 * count
    assert_nothing_left(broker)


def test_one_call_behind_many_of_which_some_were_moved_out_or_have_ended(calls: Calls, broker: RedisBroker) -> None:
    first = list(calls.submit_map(200))
    taken = calls.take(150)
    assert complete(calls, taken[:60]) == []
    assert calls.end(taken[70], AckKind.RETRY)
    total, lenient = reduced(calls, first), reduced(calls, first, goes_on=True)
    assert {calls.status(total), calls.status(lenient)} == {Status.PARKED}
    assert complete(calls, taken[60:70] + taken[71:]) == []
    calls.move_until(lambda: calls.run_all() and calls.status(total) == calls.status(lenient) == Status.COMPLETED)
    assert set(broker.inboxes.ends(first)) >= set(first)
    assert_nothing_left(broker)


def test_one_failure_among_many_ends_who_takes_them_all_but_not_who_goes_on(calls: Calls, broker: RedisBroker) -> None:
    first = list(calls.submit_map(200))
    taken = calls.take(200)
    total, lenient = reduced(calls, first), reduced(calls, first, goes_on=True)
    assert complete(calls, taken[150:151], AckKind.FAILED) == []
    assert (calls.status(total), calls.text(total)) == (Status.NOT_READY, first[150])
    assert complete(calls, taken[:150] + taken[151:]) == []
    assert calls.run_all() == [lenient]
    assert broker.inboxes.ends(first)[first[150]][0] == Status.FAILED
    assert reduced(calls, first) != total
    assert calls.run_all() == []
    assert_nothing_left(broker)


@pytest.mark.parametrize(
    "damage", [b"", b"junk", msgpack.packb([b"x"]), msgpack.packb({"a": 1}), msgpack.packb([1] * 128)]
)
def test_pieces_that_somebody_damaged_are_read_as_the_records_say(
    calls: Calls, broker: RedisBroker, damage: bytes
) -> None:
    first = list(calls.submit_map(200))
    assert complete(calls, calls.take(500)) == []
    calls.command("HSET", broker.keys.prefix + "b:" + first[0][:BLOCK_CHARACTERS], "o1", damage)
    results = broker.inboxes.ends([*first, new_run_id()])
    assert set(first) <= set(results)
    assert results[first[0]][1].startswith(b"\0")
    assert {status for run_id, (status, _) in results.items() if run_id not in first} == {Status.UNKNOWN}
    assert results[first[199]] == (b"C", b"body")


def test_a_range_that_an_older_worker_gave_up_is_replayed_with_all_of_its_calls(
    calls: Calls, broker: RedisBroker
) -> None:
    first = calls.submit_map(4)
    second = chain(calls, each(first))
    assert complete(calls, calls.take()) == []
    (entry,) = calls.command("XRANGE", broker.keys.stream("q:ds"), "-", "+")
    range_id, ticket = entry[1][1].decode(), f"q:ds {entry[0].decode()}"
    calls.command("XREADGROUP", "GROUP", "w", "old", "COUNT", 1, "STREAMS", broker.keys.stream("q:ds"), ">")
    # An older worker, which takes it for a call, ends it as a dead letter: in the words of its complete.lua.
    calls.command("ZADD", broker.keys.prefix + "dead", 1, range_id)
    calls.command("HSET", broker.keys.record(range_id), "s", "Z", "o", "it must not run it")
    calls.command("XACK", broker.keys.stream("q:ds"), "w", ticket.split()[1])
    calls.command("XDEL", broker.keys.stream("q:ds"), ticket.split()[1])
    assert calls.take() == []
    assert broker.runs.replay([range_id]) == [range_id]
    assert calls.run_all() == second
