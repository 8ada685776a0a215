"""Calls of a map where another broker carries them: a message names a range, and who gets it claims a part of it.

The store is real; the messages are kept here, so that they come late, twice, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from brokers.block_ids import BLOCK_CHARACTERS
from brokers.errors import QueueFull
from brokers.framed_calls import FramedCalls
from brokers.messages import Ack, AckKind, Named, Status
from brokers.redis.broker import RedisBroker
from brokers.redis.transport.connection import Wires
from orchestrator.runs.run_ids import new_map_run_ids
from tests.support.carriage import assert_nothing_left
from tests.support.post import Post


@pytest.fixture
def broker(wires: Wires, namespace: str) -> RedisBroker:
    return RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True)


@pytest.fixture
def post(broker: RedisBroker) -> Post:
    return Post(broker)


def records(post: Post, run_ids: Sequence[str]) -> list[str]:
    return [run_id for run_id in run_ids if post.command("EXISTS", post.broker.keys.record(run_id))]


def statuses(post: Post, run_ids: Sequence[str]) -> list[bytes]:
    return [record.status for record in post.broker.records.read(run_ids)]


# -- there and back --------------------------------------------------------------------------------------------------


def test_a_message_names_a_range_and_no_call_has_a_record(post: Post, broker: RedisBroker) -> None:
    run_ids, named = post.send_map(100)
    assert [(one.first, one.calls) for one in named] == [(0, 25), (25, 25), (50, 25), (75, 25)]
    assert {one.key[:BLOCK_CHARACTERS] for one in named} == {run_ids[0][:BLOCK_CHARACTERS]}
    assert (post.on_the_way(), broker.queues.backlog(["q"]).waiting) == (100, 100)
    assert post.finish(named) == run_ids
    assert statuses(post, run_ids) == [Status.COMPLETED] * 100
    assert (records(post, run_ids), post.on_the_way()) == ([], 0)
    assert_nothing_left(broker)


@pytest.mark.parametrize("count", [4, 127, 128, 129, 300])
def test_every_call_travels_once_however_many_there_are(post: Post, count: int) -> None:
    run_ids, named = post.send_map(count, at_once=30)
    assert post.finish(named) == run_ids
    assert post.finish(named) == []
    assert_nothing_left(post.broker)


def test_one_message_may_name_several_ranges_and_single_calls(post: Post) -> None:
    run_ids, named = post.send_map(60)
    single = post.envelope()
    assert post.finish([*named, *post.send([single])]) == [*run_ids, single.run_id]
    assert_nothing_left(post.broker)


def test_a_message_that_comes_twice_brings_nothing_more(post: Post) -> None:
    run_ids, named = post.send_map(20)
    taken = post.claim(named)
    assert [one.run_id for one in taken] == run_ids
    assert post.claim(named, "other") == []
    post.complete(taken)
    assert post.claim(named, "other") == []
    assert_nothing_left(post.broker)


# -- parts -----------------------------------------------------------------------------------------------------------


def test_of_a_task_that_takes_long_a_part_is_claimed_and_the_rest_gets_a_message(post: Post) -> None:
    run_ids, named = post.send_map(25)
    post.takes(0.03)
    taken = post.claim(named)
    (rest,) = post.relayed()
    assert ([one.run_id for one in taken], rest[2:]) == (run_ids[:3], (3, 22))
    assert post.broker.figures.queues()[0].held == 3
    post.complete(taken)
    assert post.finish([rest]) == run_ids[3:]
    assert records(post, run_ids) == []
    assert_nothing_left(post.broker)


def test_a_range_that_is_a_little_too_long_is_claimed_whole(post: Post) -> None:
    _, named = post.send_map(25)
    post.takes(0.005)
    assert len(post.claim(named)) == 25
    assert post.relayed() == []


def test_a_range_is_divided_until_each_of_its_calls_has_been_alone(post: Post) -> None:
    run_ids, named = post.send_map(128, at_once=128)
    post.takes(60.0)
    assert post.finish(named) == run_ids
    assert_nothing_left(post.broker)


def test_what_does_not_fit_into_one_reply_is_sent_again(post: Post) -> None:
    large = b"x" * 400_000
    calls = [post.envelope(body=large) for _ in range(6)]
    named = post.send(calls)
    taken = post.claim(named)
    assert 0 < len(taken) < 6
    post.complete(taken)
    assert sorted([*(one.run_id for one in taken), *post.finish(post.relayed())]) == sorted(
        call.run_id for call in calls
    )
    assert_nothing_left(post.broker)


def test_what_a_worker_does_not_reach_is_one_message_again(post: Post) -> None:
    run_ids, named = post.send_map(25)
    taken = post.claim(named)
    back = [Ack(one.ticket, one.run_id, AckKind.HAND_BACK, b"", 0) for one in taken[5:]]
    assert post.broker.deliveries.complete("worker", back) == []
    (rest,) = post.relayed()
    assert (rest[2:], rest.ticket.split(" ")[0], post.on_the_way()) == ((5, 20), "@q:rs", 20)
    post.complete(taken[:5])
    assert post.finish([rest]) == run_ids[5:]
    assert records(post, run_ids) == []
    assert_nothing_left(post.broker)


# -- one call alone --------------------------------------------------------------------------------------------------


def test_one_that_is_cancelled_in_its_message_is_passed_over(post: Post) -> None:
    run_ids, named = post.send_map(10)
    assert post.broker.runs.cancel([run_ids[4]]) == [Status.QUEUED]
    assert post.on_the_way() == 9
    assert post.finish(named) == [*run_ids[:4], *run_ids[5:]]
    assert statuses(post, run_ids[4:5]) == [Status.CANCELLED]
    assert post.on_the_way() == 0
    assert_nothing_left(post.broker)


def test_all_that_are_cancelled_in_their_message_leave_nothing(post: Post) -> None:
    run_ids, named = post.send_map(10)
    post.broker.runs.cancel(run_ids)
    assert (post.claim(named), post.on_the_way()) == ([], 0)
    assert_nothing_left(post.broker)


def test_one_that_is_tried_again_travels_alone(post: Post) -> None:
    run_ids, named = post.send_map(10)
    taken = post.claim(named)
    assert post.end(taken[3], AckKind.RETRY)
    post.complete([one for one in taken if one is not taken[3]])
    post.move_until(lambda: post.status(run_ids[3]) == Status.QUEUED)
    (again,) = post.claim(post.relayed())
    assert (again.run_id, again.retries) == (run_ids[3], 1)
    post.complete([again])
    assert_nothing_left(post.broker)


def test_somebody_who_waits_for_one_call_claims_it_without_its_message(post: Post) -> None:
    run_ids, named = post.send_map(10)
    (row,) = post.broker.records.rows([run_ids[6]])
    (taken,) = post.claim([Named(row.run_id, row.ticket)], "waits")
    assert taken.run_id == run_ids[6]
    post.complete([taken])
    assert post.finish([*named, *post.relayed()]) == [*run_ids[:6], *run_ids[7:]]
    assert post.on_the_way() == 0
    assert_nothing_left(post.broker)


def test_the_calls_of_a_worker_that_died_travel_again_and_the_one_that_ran_is_charged(post: Post) -> None:
    run_ids, named = post.send_map(10)
    post.claim(named, "dead")
    assert post.broker.deliveries.take_over("dead", running={run_ids[0]: "killed"}) == 10
    again = post.claim(post.relayed())
    assert {one.run_id: one.crashes for one in again} == {run: int(run == run_ids[0]) for run in run_ids}
    assert post.claim(named) == []
    post.complete(again)
    assert_nothing_left(post.broker)


def test_a_message_that_was_delivered_too_often_is_claimed_whole_to_be_given_up(post: Post) -> None:
    run_ids, named = post.send_map(10)
    post.takes(60.0)
    assert [one.run_id for one in post.claim(named, "undertaker", whole=True)] == run_ids
    reasons = dict.fromkeys(run_ids, "delivered too often")
    post.broker.deliveries.take_over("undertaker", running=reasons, max_deliveries=1)
    assert sorted(post.broker.dead_letters.newest()) == run_ids


# -- behind others ---------------------------------------------------------------------------------------------------


def behind(post: Post, run_ids: Sequence[str]) -> FramedCalls:
    """A map over the results of these."""
    own = list(new_map_run_ids(len(run_ids)))
    return FramedCalls(post.envelope(), own, [b"body"] * len(own), [[(run_id, False)] for run_id in run_ids])


def test_a_map_behind_another_one_travels_in_ranges_as_they_are_released(post: Post) -> None:
    first, named = post.send_map(100)
    second = behind(post, first)
    assert post.send(second) == []
    post.complete(post.claim(named[1:2]))
    (released,) = post.relayed()
    assert (released[2:], post.on_the_way()) == ((25, 25), 100)
    taken = post.claim([released])
    assert [one.run_id for one in taken] == list(second.run_ids[25:50])
    post.complete(taken)
    post.finish([named[0], *named[2:]])
    assert statuses(post, [*first, *second.run_ids]) == [Status.COMPLETED] * 200
    assert (records(post, [*first, *second.run_ids]), post.on_the_way()) == ([], 0)
    assert_nothing_left(post.broker)


def test_a_map_that_is_ready_when_it_comes_is_published_by_its_sender(post: Post) -> None:
    first, named = post.send_map(30)
    post.complete(post.claim(named[:1]))
    second = behind(post, first)
    (ready,) = post.send(second)
    assert ready[2:] == (0, 25)
    assert sorted(post.finish([ready, *named])) == sorted([*first[25:], *second.run_ids])
    assert_nothing_left(post.broker)


def test_a_map_that_could_not_be_published_waits_for_nobody(post: Post) -> None:
    first, named = post.send_map(30)
    post.complete(post.claim(named[:1]))
    second = behind(post, first)
    assert len(post.write(second)) == 1
    assert post.store.run("withdraw", [(run_id, False) for run_id in second.run_ids]) == []
    assert sorted(post.finish(named)) == first[25:]
    assert statuses(post, second.run_ids) == [Status.UNKNOWN] * 30
    assert post.on_the_way() == 0
    assert_nothing_left(post.broker)


# -- on the way ------------------------------------------------------------------------------------------------------


def test_what_its_sender_has_not_published_is_published_by_somebody_else(post: Post) -> None:
    run_ids = new_map_run_ids(50)
    named = post.write([post.envelope(run_id) for run_id in run_ids])
    post.published(named[:1])
    key = post.broker.keys.prefix + "unpublished_ranges"
    assert post.command("ZRANGE", key, 0, -1) == [named[1].key.encode()]
    post.move_until(lambda: True)
    assert post.relayed() == []  # it may be at it just now
    post.command("ZADD", key, 1, named[1].key)
    post.move_until(lambda: True)
    assert post.relayed() == named[1:]
    assert post.finish(named) == run_ids
    assert_nothing_left(post.broker)


def test_messages_that_the_broker_has_lost_are_published_again(post: Post) -> None:
    run_ids, named = post.send_map(60)
    single, other, later = post.envelope(), post.envelope(route="other:ds"), post.envelope(d=60_000)
    post.send([single, other, later])
    taken = post.claim(named[:1])
    everything = [*run_ids, single.run_id, other.run_id, later.run_id]
    assert post.publish_again("q", everything) == 60 - 25 + 1
    assert post.publish_again("q", run_ids[:3]) == 0, "a worker has them"
    post.move_until(lambda: True)
    again = post.relayed()
    assert {one.key for one in again} == {single.run_id, *(one.key for one in named[1:])}
    post.complete(taken)
    assert sorted(post.finish(again)) == sorted([*run_ids[25:], single.run_id])
    assert post.finish(named) == [], "a message that was not lost after all"


def test_a_submit_that_is_repeated_publishes_again_what_still_waits(post: Post) -> None:
    run_ids = new_map_run_ids(50)
    envelopes = [post.envelope(run_id) for run_id in run_ids]
    named = post.write(envelopes)
    taken = post.claim(named[:1])
    assert post.write(envelopes) == named[1:]
    post.published(named)
    post.complete(taken)
    assert post.finish(named) == run_ids[25:]
    assert_nothing_left(post.broker)


@pytest.mark.parametrize("claimed", [0, 1, 2])
def test_calls_that_could_not_be_published_are_forgotten_unless_a_worker_has_them(post: Post, claimed: int) -> None:
    run_ids = new_map_run_ids(50)
    named = post.write([post.envelope(run_id) for run_id in run_ids])
    taken = post.claim(named[:claimed])
    kept = post.store.run("withdraw", [(run_id, False) for run_id in run_ids])
    assert [run_id.decode() for run_id in kept] == run_ids[: 25 * claimed]
    assert post.claim(named) == []
    post.complete(taken)
    assert statuses(post, run_ids[25 * claimed :]) == [Status.UNKNOWN] * (50 - 25 * claimed)
    assert (post.on_the_way(), post.relayed()) == (0, [])
    post.published(named[:claimed])  # or the mover finds out that nobody has to
    assert_nothing_left(post.broker)


def test_while_a_worker_lives_that_reads_no_ranges_calls_have_records(post: Post) -> None:
    old, now = "old.1", int(post.command("TIME")[0]) * 1000
    post.command("ZADD", post.broker.keys.workers, now, old)
    post.command("ZADD", post.broker.keys.prefix + "block_readers", now, old)  # an older one notes this
    run_ids, named = post.send_map(10)
    assert [one.key for one in named] == run_ids
    post.broker.deliveries.take_over(old)
    post.broker.consumers.beat(["new.1"], 60.0)
    assert [one.calls for one in post.send_map(10)[1]] == [10]
    post.broker.deliveries.take_over("new.1")
    assert post.command("ZCARD", post.broker.keys.prefix + "range_readers") == 0


def test_without_map_blocks_calls_have_records(wires: Wires, namespace: str) -> None:
    post = Post(RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True, map_blocks=False))
    run_ids, named = post.send_map(10)
    assert [one.key for one in named] == run_ids


def test_a_queue_is_full_of_what_is_in_messages_and_what_workers_hold(wires: Wires, namespace: str) -> None:
    post = Post(RedisBroker(wires, namespace, result_ttl_seconds=60, external_carrier=True, queue_limit=50))
    _, named = post.send_map(40)
    taken = post.claim(named[:1])
    with pytest.raises(QueueFull, match="holds 40 calls"):
        post.send_map(20)
    post.complete(taken)
    post.send_map(20)


# -- nonsense --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticket", ["", "x", "@q:ds", "@q:ds 99", "q:ds 1-0", "@ 1", "@q:ds 1-0/00"])
def test_a_message_with_another_ticket_brings_nothing(post: Post, ticket: str) -> None:
    run_ids, named = post.send_map(5)
    assert post.claim([named[0]._replace(ticket=ticket), Named(run_ids[2], ticket)]) == []
    assert post.finish(named) == run_ids


@pytest.mark.parametrize(("field", "value"), [("F", "9"), ("F", "x"), ("T", "-1"), ("T", "4000000000"), ("T", "1.5")])
def test_a_damaged_range_ends_and_no_other_suffers(post: Post, field: str, value: str) -> None:
    run_ids, named = post.send_map(8, at_once=4)
    post.command("HSET", post.broker.keys.record(named[0].key), field, value)
    assert post.finish(named) == run_ids[4:]
    assert statuses(post, run_ids) == [Status.CRASHED] * 4 + [Status.COMPLETED] * 4
    assert post.on_the_way() == 0


def test_a_range_without_its_block_brings_nothing(post: Post) -> None:
    run_ids, named = post.send_map(8, at_once=4)
    post.command("DEL", f"{post.broker.keys.prefix}b:{run_ids[0][:BLOCK_CHARACTERS]}")
    assert post.claim(named) == []
    assert {record.status for record in post.broker.records.read(run_ids)} <= {Status.CRASHED, Status.UNKNOWN}
